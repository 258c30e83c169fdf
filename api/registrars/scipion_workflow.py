"""Has Scipion schedule a workflow behind the follower of each session.

The template is what Scipion's desktop exports: the receiver's, or `scipion-workflow.json` in the session's folder. Once
it is scheduled, `workflow.json` beside the session's journal says so, and it is not scheduled again. A template that is
refused holds up no registration.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from api.registrars import RegistrarUnavailable, SessionPlace
from api.registrars.scipion_journal import SessionJournal
from transfer.disk.files import make_file

SESSION_TEMPLATE = "scipion-workflow.json"
FOLLOWER = "ProtCryoferryFollow"
ASK_AGAIN_S = 30.0
_NOTE = "workflow.json"
_MOST_BYTES = 16 << 20

Template = list[dict[str, Any]]
Ask = Callable[[dict[str, Any], Path], dict[str, Any]]
"""Asks Scipion for something; the file is for its messages."""


class NoWorkflow(Exception):
    """This file is no template; the text says why."""


def read_template(path: Path) -> Template:
    """Return the content of a template.

    Raises
    ------
    NoWorkflow
        The file cannot be read, is no list of protocols, or has not the one follower that the others are behind.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise NoWorkflow(f"it has more than {_MOST_BYTES} bytes")
        listed = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoWorkflow(error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise NoWorkflow(f"it is not JSON: {error}") from error
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise NoWorkflow("it is no list of protocols")
    followers = sum(entry.get("object.className") == FOLLOWER for entry in listed)
    if followers != 1 or len(listed) == 1:
        raise NoWorkflow(f"it has {followers} protocols of the class {FOLLOWER} and {len(listed) - followers} others")
    return listed


def why_no_workflow(path: Path) -> str:
    """Return why a file can be no template, or nothing."""
    try:
        read_template(path)
    except NoWorkflow as reason:
        return str(reason)
    return ""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What is noted of a session's workflow.

    Attributes
    ----------
    protocols
        The numbers of its protocols in the project.
    opened
        `SessionJournal.opened` when they were scheduled, or continued the last time.
    """

    protocols: list[int]
    opened: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a session's template was not scheduled, which file that was, and when it is tried again if it stays so."""

    reason: str
    file: tuple[Path, int, int] | None
    again_at: float


class Workflows:
    """The workflows of all sessions.

    Parameters
    ----------
    template
        The template of sessions that have none of their own. None: they have no workflow.
    ask
        Asks Scipion.
    """

    def __init__(self, template: Path | None, ask: Ask) -> None:
        self._template = template
        self._ask = ask
        self._scheduled: dict[str, Scheduled] = {}
        self._refused: dict[str, Refused] = {}
        self._of_all: Refused | None = None

    @property
    def warning(self) -> str:
        """Which templates are refused, and why; nothing: none."""
        refused = list(self._refused.values())
        if self._of_all is not None and self._of_all.file != _file(self._template):
            self._of_all = None  # somebody has changed it: the next session says whether it is right now
        if self._of_all is not None and all(one.file != self._of_all.file for one in refused):
            refused.append(self._of_all)
        return "; ".join(sorted({one.reason for one in refused}))

    def content_of_all(self) -> Template | None:
        """Return the receiver's template, for Scipion to check; None: there is none, or none that can be read."""
        if self._template is None:
            return None
        try:
            return read_template(self._template)
        except NoWorkflow as reason:
            self.refuse_for_all(str(reason))
            return None

    def refuse_for_all(self, reason: str) -> None:
        """Note why the receiver's template is refused before any session has asked for it, or that it is not."""
        text = f"the workflow {self._template} is refused: {reason}. {_ALL_THE_SAME}"
        self._of_all = Refused(text, _file(self._template), float("inf")) if reason else None

    def require(self, place: SessionPlace, journal: SessionJournal, project: Path) -> None:
        """Have the session's workflow scheduled, or continued if the session was reopened, unless that was done."""
        known = self._known(place, journal)
        if known is not None and known.opened >= journal.opened:
            return
        path = self._template_of(place)
        if known is None and path is None:
            self._refused.pop(place.name, None)
            return
        file = _file(path)
        earlier = self._refused.get(place.name)
        if earlier is not None and earlier.file == file and time.monotonic() < earlier.again_at:
            return
        try:
            protocols = self._run(place, journal, project, {"protocols": known.protocols} if known else path or Path())
        except NoWorkflow as reason:
            text = f"the workflow {path} of session {place.name} is refused: {reason}. {_ALL_THE_SAME}"
            self._refused[place.name] = Refused(text, file, float("inf"))
        except RegistrarUnavailable as error:
            text = f"the workflow of session {place.name} cannot be started: {error}"
            self._refused[place.name] = Refused(text, file, time.monotonic() + ASK_AGAIN_S)
        else:
            self._refused.pop(place.name, None)
            if path == self._template:
                self._of_all = None  # what it lacked is there now
            self._note(place, journal, Scheduled(protocols, journal.opened))

    def _run(
        self, place: SessionPlace, journal: SessionJournal, project: Path, what: dict[str, Any] | Path
    ) -> list[int]:
        """Have Scipion schedule a template, or continue protocols; return their numbers."""
        request = {"do": "workflow", "project": str(project), "session": place.name, "journal": str(journal.path)}
        wanted = {"workflow": read_template(what)} if isinstance(what, Path) else what
        answer = self._ask(request | wanted, journal.path.with_name("bridge.log"))
        if answer.get("refused"):
            raise NoWorkflow(answer["refused"])
        return list(answer["protocols"])

    def forget(self, place: SessionPlace) -> None:
        """Note that a session is over."""
        self._refused.pop(place.name, None)

    def _template_of(self, place: SessionPlace) -> Path | None:
        own = place.folder / SESSION_TEMPLATE
        return own if own.exists() else self._template

    def _known(self, place: SessionPlace, journal: SessionJournal) -> Scheduled | None:
        path = journal.path.with_name(_NOTE)
        if not path.exists():  # Scipion's side removes it when it makes a project, which may be the session's second
            self._scheduled.pop(place.name, None)
        elif place.name not in self._scheduled:
            self._scheduled[place.name] = Scheduled(**json.loads(path.read_text(encoding="utf-8")))
        return self._scheduled.get(place.name)

    def _note(self, place: SessionPlace, journal: SessionJournal, scheduled: Scheduled) -> None:
        def write(temporary: Path) -> None:
            temporary.write_text(json.dumps(asdict(scheduled)) + "\n", encoding="utf-8")

        make_file(journal.path.with_name(_NOTE), write)
        self._scheduled[place.name] = scheduled


_ALL_THE_SAME = "Micrographs are registered all the same; correct the file"


def _file(path: Path | None) -> tuple[Path, int, int] | None:
    """Return what changes when somebody writes the file; None: there is none."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return path, 0, 0
    return path, found.st_mtime_ns, found.st_size
