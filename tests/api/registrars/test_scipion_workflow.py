"""When Scipion is asked for a session's workflow; Scipion itself is asked in tests/integration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.registrars import RegistrarUnavailable, SessionPlace
from api.registrars.scipion_journal import SessionJournal
from api.registrars.scipion_workflow import FOLLOWER, SESSION_TEMPLATE, Workflows, read_template

SHIPPED = Path(__file__).parents[3] / "deploy" / "scipion-plugin" / "workflows"

TEMPLATE = [{"object.className": FOLLOWER, "object.id": "1"}, {"object.className": "ProtCTFAssign", "object.id": "2"}]


class Session:
    """A session, and what was asked for it: every answer is the next of `answers`."""

    def __init__(self, folder: Path, template: Path | None) -> None:
        self.place = SessionPlace("grid1", folder / "sessions" / "grid1")
        self.journal = SessionJournal(self.place.folder / "scipion", "grid1")
        self.template = template
        self.asked: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any] | Exception] = []
        self.start()

    def start(self) -> None:
        """Begin anew, as a receiver does that was started again."""
        self.workflows = Workflows(self.template, self._ask)

    def _ask(self, request: dict[str, Any], _log: Path) -> dict[str, Any]:
        self.asked.append({key: request[key] for key in ("workflow", "protocols") if key in request})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def require(self, times: int = 3) -> str:
        """Look after the workflow, several times; return the warning."""
        for _ in range(times):
            self.workflows.require(self.place, self.journal, self.place.folder / "project")
        return self.workflows.warning


@pytest.fixture
def session(tmp_path: Path) -> Session:
    template = tmp_path / "workflow.json"
    template.write_text(json.dumps(TEMPLATE))
    return Session(tmp_path, template)


def test_the_shipped_templates_are_templates() -> None:
    assert [len(read_template(path)) for path in SHIPPED.glob("*.json")] == [3]


def test_without_a_template_nothing_is_asked(tmp_path: Path) -> None:
    session = Session(tmp_path, None)
    assert session.require() == ""
    (session.place.folder / SESSION_TEMPLATE).write_text(json.dumps(TEMPLATE))
    session.answers = [{"protocols": [7]}]
    assert session.require() == ""
    assert session.asked == [{"workflow": TEMPLATE}]


def test_it_is_scheduled_once_and_continued_once_after_each_reopening(session: Session) -> None:
    session.answers = [{"protocols": [7, 9]}, {"protocols": [7, 9]}, {"protocols": [7, 9]}]
    session.require()
    session.start()
    session.require()
    assert session.asked == [{"workflow": TEMPLATE}]
    session.journal.end()
    session.require()
    for count in (2, 3):
        session.journal.reopen()
        session.require()
        session.start()
        session.require()
        assert session.asked[1:] == [{"protocols": [7, 9]}] * (count - 1)
        session.journal.end()


def test_a_refused_one_is_asked_again_when_its_file_changes(session: Session) -> None:
    session.answers = [{"refused": "no plugin"}, {"protocols": [7]}]
    assert session.template is not None
    warning = session.require()
    assert f"the workflow {session.template} of session grid1 is refused: no plugin" in warning
    assert len(session.asked) == 1
    session.template.write_text("[")
    assert "it is not JSON" in session.require()
    assert len(session.asked) == 1
    session.template.write_text(json.dumps([*TEMPLATE, {"object.className": "ProtSetFilter", "object.id": "3"}]))
    assert session.require() == ""
    assert len(session.asked) == 2


def test_a_second_project_gets_it_again(session: Session) -> None:
    """Scipion's side removes the note when it makes a project."""
    session.answers = [{"protocols": [7]}, {"protocols": [7]}]
    session.require()
    session.journal.path.with_name("workflow.json").unlink()
    assert session.require() == ""
    assert session.asked == [{"workflow": TEMPLATE}] * 2


@pytest.mark.parametrize("cure", ["the file", "the plugins"])
def test_what_was_refused_for_all_is_cured(session: Session, cure: str) -> None:
    session.workflows.refuse_for_all("no plugin")
    assert session.template is not None
    if cure == "the file":
        session.template.write_text(json.dumps([*TEMPLATE, {"object.className": "ProtSetFilter", "object.id": "3"}]))
        assert session.workflows.warning == ""
    session.answers = [{"protocols": [7]}]
    assert session.require() == ""


def test_a_session_of_its_own_template_hides_nothing_of_the_receivers(session: Session) -> None:
    session.workflows.refuse_for_all("no plugin")
    (session.place.folder / SESSION_TEMPLATE).write_text("[" * 100_000)
    warning = session.require()
    assert "session grid1 is refused: it is not JSON" in warning
    assert f"the workflow {session.template} is refused: no plugin" in warning


def test_a_scipion_that_does_not_answer_is_not_asked_at_once_again(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.answers = [RegistrarUnavailable("Scipion gave no answer"), {"protocols": [7]}]
    assert "cannot be started: Scipion gave no answer" in session.require()
    assert len(session.asked) == 1
    later_s = session.workflows._refused["grid1"].again_at
    monkeypatch.setattr("api.registrars.scipion_workflow.time.monotonic", lambda: later_s)
    assert session.require() == ""


def test_the_receivers_template_is_judged_before_any_session(session: Session) -> None:
    assert session.workflows.content_of_all() == TEMPLATE
    session.workflows.refuse_for_all("no plugin")
    assert "is refused: no plugin" in session.workflows.warning
    session.answers = [{"refused": "no plugin at all"}]
    assert "of session grid1 is refused: no plugin at all" in session.require()
    session.workflows.forget(session.place)
    session.workflows.refuse_for_all("")
    assert session.workflows.warning == ""
    assert session.template is not None
    session.template.unlink()
    assert session.workflows.content_of_all() is None
    assert "No such file" in session.workflows.warning
