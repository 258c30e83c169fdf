"""What receiver and follower tell each other: two append-only files of JSON lines, one writer each.

`journal.jsonl`, by the receiver, each line with `seq` (1, 2, …) and `type`:

* `session`: `session` (its name)
* `micrograph`: `name` (unique), `revision`, `exposure_id`, `movie`, `digest`, `file` and `thumbnail` (relative to the
  folder above the journal's), `pixel_size_angstrom`, `acquisition`, `shifts`, `motion`, `ctf` (or null)
* `end`: no more is expected; `reopen`: more is expected after all

`acknowledged.jsonl`, by the follower, after its set is committed: `{"seq", "name", "revision"}` a micrograph, with
`error` when it could not be registered; `{"seq", "type": "end"}` when the sets are closed.
"""

import json
import os


class JournalReader:
    """Reads complete lines; a line that is still being written is read again later."""

    def __init__(self, path):
        self._path = path
        self._offset = 0

    def read(self, limit):
        """Return up to `limit` further entries (dicts), oldest first; none where the file is missing."""
        entries = []
        try:
            stream = open(self._path, "rb")  # noqa: SIM115 (only the opening may fail quietly)
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
    """The follower's answers. A tail torn by a crash is cut off when it is opened."""

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
            self._answered.add(json.loads(line.decode("utf-8"))["seq"])

    def add(self, answers):
        """Append the answers (dicts with `seq`) that were not given before; they are on the disk on return."""
        new = [answer for answer in answers if answer["seq"] not in self._answered]
        if not new:
            return
        with open(self._path, "ab") as stream:
            stream.write(b"".join(json.dumps(answer).encode("utf-8") + b"\n" for answer in new))
            stream.flush()
            os.fsync(stream.fileno())
        self._answered.update(answer["seq"] for answer in new)


def follower_lock(journal):
    """Return the path of the lock that a follower of that journal holds while it lives."""
    return os.path.join(os.path.dirname(journal), "follower.lock")
