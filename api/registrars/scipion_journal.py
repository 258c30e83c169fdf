"""The receiver's side of a session's journal, which the Scipion plugin's follower reads.

The process that runs the registrars appends to `DATA/sessions/NAME/scipion/journal.jsonl` and syncs each entry. Only
the follower writes `acknowledged.jsonl` beside it. The format is described in
`deploy/scipion-plugin/cryoferry_scipion/journal.py`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transfer.disk.files import sync_descriptor, sync_folder
from transfer.disk.locks import is_locked
from transfer.wire.verdict import VerdictBy

FORMAT = 3
"""Version of the journal's format. It holds for the entries after a `session` entry that names it."""


_UNJUDGED = (True, VerdictBy.THRESHOLD.value)
"""What holds of a micrograph that no `verdict` entry is about."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The follower's answer to the entry of one micrograph; `error` is empty if it is registered."""

    seq: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class MicrographVerdict:
    """A `verdict` entry, but for its number and type."""

    name: str
    revision: int
    accepted: bool
    by: str
    at: str


def read_entries(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole entries of a session's journal, and change nothing."""
    path = folder / "journal.jsonl"
    content = path.read_bytes() if path.exists() else b""
    return (json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines())


def groups_in(folder: Path) -> dict[str, int]:
    """Return the optics groups that a session's journal gives micrographs, by their names."""
    return {entry["name"]: entry["optics_group"] for entry in read_entries(folder) if "optics_group" in entry}


class SessionJournal:
    """One session's journal and the answers to it. Opening it removes an incomplete last line."""

    def __init__(self, folder: Path, session: str) -> None:
        self.path = folder / "journal.jsonl"
        self._answers_path = folder / "acknowledged.jsonl"
        self._lock_path = folder / "follower.lock"
        self._session = session
        self._seq = 0
        self._format = 0
        self._entry_numbers: dict[tuple[str, int], int] = {}
        self._names: set[str] = set()
        self._verdicts: dict[str, tuple[bool, str]] = {}
        self._end: int | None = None
        self._opened = 0
        self._answers: dict[tuple[str, int], Answer] = {}
        self._answered_end = 0
        self._rested = 0
        self._asked_to_rest_at_s: float | None = None
        self._changed_at_s = time.monotonic()
        self._answers_offset = 0
        self._load()

    @property
    def ended(self) -> bool:
        """Whether the newest entry about the session says that it has ended."""
        return self._end is not None

    @property
    def opened(self) -> int:
        """The number of the newest entry that opened the session again; 0: it was opened once."""
        return self._opened

    @property
    def closed(self) -> bool:
        """Whether the follower has closed its sets since that entry."""
        return self._end is not None and self._answered_end >= self._end

    @property
    def rested(self) -> bool:
        """Whether the follower has ended with nothing left to do: it did everything up to the last entry."""
        return self._rested >= self._seq

    @property
    def quiet_s(self) -> float:
        """For how long this process has added no entry, in seconds."""
        return time.monotonic() - self._changed_at_s

    @property
    def asked_to_rest_s(self) -> float | None:
        """For how long the last entry has asked the follower to end, in seconds; None: it does not."""
        return None if self._asked_to_rest_at_s is None else time.monotonic() - self._asked_to_rest_at_s

    def ask_to_rest(self) -> None:
        """Have the follower end, with its sets open, until an entry follows."""
        if self._asked_to_rest_at_s is None:
            self._append([{"type": "rest"}])

    def entry_number(self, name: str, revision: int) -> int | None:
        """Return the number of the newest entry for a micrograph's revision, if there is one."""
        return self._entry_numbers.get((name, revision))

    def answer(self, name: str, revision: int) -> Answer | None:
        """Return the newest answer for a micrograph's revision, if there is one."""
        return self._answers.get((name, revision))

    def append_micrographs(
        self, micrographs: Iterable[dict[str, Any]], verdicts: Sequence[MicrographVerdict] = ()
    ) -> None:
        """Append a `micrograph` entry for each, after the verdicts on them. They are on the disk when this returns."""
        entries = [{"type": "micrograph", **micrograph} for micrograph in micrographs]
        self._append_in_session([*self._new_verdicts(verdicts), *entries])

    def append_verdicts(self, verdicts: Sequence[MicrographVerdict]) -> None:
        """Append a `verdict` entry for each that differs from the last one about a micrograph in the journal.

        Those about micrographs that the journal does not have come with their `micrograph` entries. The entries are on
        the disk when this returns.
        """
        self._append_in_session(self._new_verdicts([one for one in verdicts if one.name in self._names]))

    def _new_verdicts(self, verdicts: Sequence[MicrographVerdict]) -> list[dict[str, Any]]:
        """Return the entries of the verdicts that the journal does not say yet."""
        entries: dict[str, dict[str, Any]] = {}
        for one in verdicts:
            entries.pop(one.name, None)
            if self._verdicts.get(one.name, _UNJUDGED) != (one.accepted, one.by):
                entries[one.name] = {"type": "verdict", **asdict(one)}
        return list(entries.values())

    def _append_in_session(self, entries: list[dict[str, Any]]) -> None:
        if entries and self.ended:
            entries.insert(0, {"type": "reopen"})
        self._append(entries)

    def end(self) -> None:
        """Append that the session has ended."""
        if not self.ended:
            self._append([{"type": "end"}])

    def reopen(self) -> None:
        """Append that an ended session goes on."""
        if self.ended:
            self._append([{"type": "reopen"}])

    def read_answers(self) -> None:
        """Read what the follower has answered since the last call."""
        if not self._answers_path.exists():
            return
        with self._answers_path.open("rb") as stream:
            if stream.seek(0, os.SEEK_END) < self._answers_offset:
                self._answers_offset = 0
            stream.seek(self._answers_offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._answers_offset += len(line)
                self._take_answer(json.loads(line))

    def is_followed(self) -> bool:
        """Return whether a follower runs: it holds a lock, which the system frees when the follower ends."""
        return is_locked(self._lock_path)

    def _load(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            for entry in self._whole_entries():
                self._take_entry(entry)
        if self._seq == 0:
            self._append([self._session_entry()])
            sync_folder(self.path.parent)
        elif self._format < FORMAT:
            self._append([self._session_entry()])
        self.read_answers()

    def _session_entry(self) -> dict[str, Any]:
        return {"type": "session", "session": self._session, "format": FORMAT}

    def _whole_entries(self) -> Iterator[dict[str, Any]]:
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with self.path.open("r+b") as stream:
                stream.truncate(whole)
                sync_descriptor(stream.fileno())
        return (json.loads(line) for line in content[:whole].splitlines())

    def _append(self, entries: list[dict[str, Any]]) -> None:
        if not entries:
            return
        numbered = [{"seq": seq, **entry} for seq, entry in enumerate(entries, self._seq + 1)]
        lines = b"".join(json.dumps(entry).encode() + b"\n" for entry in numbered)
        with self.path.open("ab", buffering=0) as stream:  # a buffer would later write the rest of a line that failed
            whole = stream.tell()
            try:
                written = 0
                while written < len(lines):
                    written += stream.write(lines[written:])
                sync_descriptor(stream.fileno())
            except OSError:
                os.ftruncate(stream.fileno(), whole)  # a full disk leaves an incomplete line
                raise
        for entry in numbered:
            self._take_entry(entry)

    def _take_entry(self, entry: dict[str, Any]) -> None:
        self._seq = entry["seq"]
        self._changed_at_s = time.monotonic()
        self._asked_to_rest_at_s = self._changed_at_s if entry["type"] == "rest" else None
        if entry["type"] == "session":
            self._format = entry.get("format", 1)
        elif entry["type"] == "micrograph":
            self._entry_numbers[entry["name"], entry["revision"]] = self._seq
            self._names.add(entry["name"])
        elif entry["type"] == "verdict":
            self._verdicts[entry["name"]] = entry["accepted"], entry["by"]
        elif entry["type"] in ("end", "reopen"):
            self._end = self._seq if entry["type"] == "end" else None
            if entry["type"] == "reopen":
                self._opened = self._seq

    def _take_answer(self, answer: dict[str, Any]) -> None:
        if answer.get("type") == "end":
            self._answered_end = max(self._answered_end, answer["seq"])
            return
        if answer.get("type") == "rest":
            self._rested = max(self._rested, answer["seq"])
            return
        if answer.get("type") == "verdict":  # it says nothing about the micrograph's registration
            return
        key = (answer["name"], answer["revision"])
        known = self._answers.get(key)
        if known is None or known.error:
            self._answers[key] = Answer(answer["seq"], answer.get("error", ""))
