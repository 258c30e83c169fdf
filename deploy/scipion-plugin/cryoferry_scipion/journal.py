"""How receiver and follower exchange messages: two append-only files of JSON lines, with one writer each.

`journal.jsonl`, by the receiver, each line with `seq` (1, 2, …) and `type`:

* `session`: `session` (its name), `format` (of the entries that follow)
* `micrograph`: `name` (unique), `revision`, `exposure_id`, `movie`, `digest`, `file`, pictures (`thumbnail`,
  `spectrum`, `motion_plot`, `ctf_spectrum`, `power_spectrum`; paths are relative to the folder above the journal's,
  none: null), `pixel_size_angstrom`, `acquisition`, `shifts` (where each frame's content lies relative to the first
  one's, px), `figures` (name to number), `optics_group` (its number in all registries; may be missing)
* `verdict`: whether a micrograph is accepted: `name`, `revision` (its newest at that time), `accepted` (bool), `by`
  (`threshold` or `person`), `at` (time in ISO 8601, with its zone)
* `end`: the session has ended; `reopen`: it was opened again
* `rest`: the follower shall end here, with its sets open, if this is the last entry

A micrograph is accepted until a `verdict` about its name says otherwise. The last one about a name holds, also for its
later revisions. The first may stand before the `micrograph` entry, so that a rejected one is never shown as accepted.
A new one after `end` follows a `reopen`.

`acknowledged.jsonl`, by the follower, after its set is committed: `{"seq", "name", "revision"}` a micrograph, with
`error` if it could not be registered; `{"seq", "type": "verdict", "name", "revision"}` a verdict, with `held` (true) if
a person in Scipion enabled or disabled the item otherwise, which stays so; `{"seq", "type": "end"}` when the sets are
closed; `{"seq", "type": "rest"}` when the follower ends although the session goes on: all is done up to that entry, and
a later one needs a follower again.

Format 1 had `motion` and `ctf` instead of `figures`; `figures_of` reads both. Formats 1 and 2 had no `verdict` and no
`ctf_spectrum`. Entries of all formats may stand in one journal.
"""

import json
import os

FORMAT = 3
"""The newest format of the journal that this plugin reads."""

_MOTION = {
    "total_angstrom": "motion_total_angstrom",
    "early_angstrom": "motion_early_angstrom",
    "late_angstrom": "motion_late_angstrom",
}
_CTF = {
    "defocus_u_angstrom": "ctf_defocus_u_angstrom",
    "defocus_v_angstrom": "ctf_defocus_v_angstrom",
    "astigmatism_angle_degrees": "ctf_astigmatism_angle_degrees",
    "resolution_angstrom": "ctf_resolution_angstrom",
    "fit_quality": "ctf_fit_quality",
    "phase_shift_degrees": "ctf_phase_shift_degrees",
}


def figures_of(entry):
    """Return the figures of a `micrograph` entry by name."""
    if "figures" in entry:
        return entry["figures"]
    figures = {}
    for section, names in ((entry["motion"], _MOTION), (entry["ctf"] or {}, _CTF)):
        figures.update({name: section[key] for key, name in names.items() if section.get(key) is not None})
    return figures


def has_ctf(entry):
    """Return whether a `micrograph` entry has a fitted CTF."""
    return {"ctf_defocus_u_angstrom", "ctf_defocus_v_angstrom", "ctf_astigmatism_angle_degrees"} <= set(
        figures_of(entry)
    )


def check_format(entry):
    """Raise RuntimeError if a `session` entry says that the journal is newer than this plugin."""
    found = entry.get("format", 1)
    if found > FORMAT:
        raise RuntimeError(
            f"The receiver writes its journal in format {found}, this plugin reads format 1 to {FORMAT}. Install the "
            "plugin of the receiver's version, then choose Continue."
        )


class JournalReader:
    """Reads complete lines; a line that is still being written is read again later."""

    def __init__(self, path):
        self._path = path
        self._offset = 0

    def read(self, limit):
        """Return up to `limit` further entries (dicts), oldest first; none if the file is missing."""
        entries = []
        try:
            stream = open(self._path, "rb")  # noqa: SIM115 (only a missing file is no error)
        except FileNotFoundError:
            return entries
        with stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n") or len(entries) >= limit:
                    break
                entries.append(json.loads(line.decode("utf-8")))
                self._offset += len(line)
        return entries


class Acknowledgements:
    """The follower's answers. An incomplete last line, left by a crash, is removed when the file is opened."""

    def __init__(self, path):
        self._path = path
        self._answered = set()
        self._heal()

    def _heal(self):
        if not os.path.exists(self._path):
            return
        with open(self._path, "r+b") as stream:
            content = stream.read()
            whole = content.rfind(b"\n") + 1
            stream.truncate(whole)
        for line in content[:whole].splitlines():
            answer = json.loads(line.decode("utf-8"))
            if answer.get("type") != "rest":  # that is no answer to its entry
                self._answered.add(answer["seq"])

    def has(self, entry):
        """Return whether an entry was answered."""
        return entry["seq"] in self._answered

    def add(self, answers):
        """Append the answers (dicts with `seq`) that were not given before; they are durable on return."""
        new = [answer for answer in answers if answer["seq"] not in self._answered]
        if new:
            self._append(new)
            self._answered.update(answer["seq"] for answer in new)

    def add_rest(self, seq):
        """Append that the follower ends and all is done up to that entry; it is durable on return."""
        self._append([{"seq": seq, "type": "rest"}])

    def _append(self, answers):
        with open(self._path, "ab") as stream:
            stream.write(b"".join(json.dumps(answer).encode("utf-8") + b"\n" for answer in answers))
            stream.flush()
            os.fsync(stream.fileno())


def follower_lock(journal):
    """Return the path of the lock that a follower of that journal holds while it runs."""
    return os.path.join(os.path.dirname(journal), "follower.lock")
