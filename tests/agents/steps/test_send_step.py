"""One send step without a receiver: what it does for exposures that need none, or that a refusal sets aside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.journal.journal import Journal
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.measurements import Measurements
from agents.sending.publish import outputs_folder
from agents.sending.receiver_link import ReceiverLink
from agents.steps.send_step import SendStep
from agents.steps.setting_aside import set_aside
from agents.turns import StepEnd
from agents.watch_settings import WatchSettings
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.layouts import AUTO
from preprocess.settings import AlignmentSettings
from tests.agents.steps.scripted import ScriptedReceiver, claim_step
from transfer.client import ReceiverClient
from transfer.upload.sender import Sender


def settings_of(work: Path, *, keep_outputs: bool) -> WatchSettings:
    chosen = ChosenAlignment(settings=AlignmentSettings(), flags=Acquisition(), configured=Acquisition())
    return WatchSettings(source=work, work=work, session="s", layout=AUTO, chosen=chosen, keep_outputs=keep_outputs)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path)
    yield journal
    journal.close()


def exposure_in(journal: Journal, state: State) -> ExposureRow:
    """Return an exposure that was taken to a state by force: what comes before is tested elsewhere."""
    found = journal.find("a.mrc", "a", "a")
    journal._db.execute("UPDATE exposures SET state = ?", (state,))
    return journal.exposure(found.exposure_id)


@pytest.mark.parametrize("keep_outputs", [False, True])
def test_what_was_committed_is_released_without_the_receiver(
    journal: Journal, tmp_path: Path, *, keep_outputs: bool
) -> None:
    settings = settings_of(tmp_path, keep_outputs=keep_outputs)
    exposure = exposure_in(journal, State.COMMITTED)
    outputs = outputs_folder(tmp_path, exposure)
    outputs.mkdir(parents=True)
    stop = threading.Event()
    claims = claim_step(settings, journal, ScriptedReceiver())
    step = SendStep(settings, journal, ReceiverLink(journal, stop), claims, Measurements(), stop.is_set)
    with ReceiverClient("http://127.0.0.1:9", "token") as client, Sender(client) as sender:
        assert step.run(exposure, sender) is StepEnd.DONE
    assert journal.exposure(exposure.exposure_id).state == State.RELEASED
    assert outputs.exists() is keep_outputs


def test_an_agent_that_stops_leaves_the_exposure_as_it_is(journal: Journal, tmp_path: Path) -> None:
    exposure = exposure_in(journal, State.ALIGNED)
    stop = threading.Event()
    stop.set()
    link = ReceiverLink(journal, stop)
    settings = settings_of(tmp_path, keep_outputs=False)
    claims = claim_step(settings, journal, ScriptedReceiver())
    step = SendStep(settings, journal, link, claims, Measurements(), stop.is_set)
    with ReceiverClient("http://127.0.0.1:9", "token") as client, Sender(client) as sender:
        assert step.run(exposure, sender) is StepEnd.DONE
    assert journal.exposure(exposure.exposure_id).state == State.SENDING


@pytest.mark.parametrize(
    ("before", "after", "end"),
    [
        (State.SENDING, State.FAILED, StepEnd.DONE),
        (State.FINISHED, State.FAILED, StepEnd.DONE),
        (State.COMMITTED, State.COMMITTED, StepEnd.POSTPONED),
    ],
)
def test_what_has_arrived_never_fails(journal: Journal, before: State, after: State, end: StepEnd) -> None:
    exposure = exposure_in(journal, before)
    assert set_aside(journal, exposure, "no space", "Free some.") is end
    assert journal.exposure(exposure.exposure_id).state == after
