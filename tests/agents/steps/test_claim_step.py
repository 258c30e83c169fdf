"""What the agent makes of each answer to a claim: in the journal, and in the work folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal
from agents.journal.outputs import Output, references
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.measurements import Measurements
from agents.sending.publish import outputs_folder
from agents.sending.receiver_link import ReceiverLink
from agents.steps.align_step import AlignStep
from agents.steps.send_step import SendStep
from agents.turns import StepEnd
from agents.watch_settings import WatchSettings
from agents.workers.contract import AlignmentFailure, FailureKind
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.layouts import AUTO
from preprocess.settings import AlignmentSettings
from tests.agents.steps.scripted import ScriptedReceiver, ScriptedWorker, access_of, claim_step
from transfer.client import ReceiverClient
from transfer.upload.file_to_send import FileToSend
from transfer.upload.sender import Sender
from transfer.wire.digest import chunk_digest, root_digest
from transfer.wire.errors import BadRequest, FilesMissing, LinkLost, NameTaken
from transfer.wire.exposure_claim import ClaimAnswer, ClaimReason, ClaimStatus
from transfer.wire.exposure_record import AcquisitionRecord, ExposureRecord, ShiftsRecord
from transfer.wire.receipt import Receipt

OTHER = UUID(int=99)
CLAIMED = ClaimAnswer(status=ClaimStatus.CLAIMED, exposure_id=OTHER, revision=3, stem="b")
COMMITTED = ClaimAnswer(status=ClaimStatus.COMMITTED, exposure_id=OTHER, revision=3, stem="b")
DELETED = ClaimAnswer(status=ClaimStatus.DELETED, detail="by anna")
ELSEWHERE = ClaimAnswer(status=ClaimStatus.ELSEWHERE, detail="agent 7 on k3-pc")
ROOT_OF_X = root_digest([chunk_digest(b"x")])
DIGEST_NEEDED = ClaimAnswer(status=ClaimStatus.DIGEST_NEEDED)


def postpone(job: object) -> AlignmentFailure:
    return AlignmentFailure(kind=FailureKind.POSTPONED, reason="not now")


@pytest.fixture
def settings(tmp_path: Path) -> WatchSettings:
    for name in ("source", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "source" / "a.mrc").write_bytes(b"movie")
    chosen = ChosenAlignment(settings=AlignmentSettings(), flags=Acquisition(), configured=Acquisition())
    source, work = tmp_path / "source", tmp_path / "work"
    return WatchSettings(source=source, work=work, session="s", layout=AUTO, chosen=chosen)


@pytest.fixture
def journal(settings: WatchSettings) -> Iterator[Journal]:
    journal = Journal(settings.work)
    yield journal
    journal.close()


@pytest.fixture
def finished(settings: WatchSettings, journal: Journal) -> ExposureRow:
    found = journal.find("a.mrc", "a", "a")
    return journal.finish(found.exposure_id, FileIdentity.of((settings.source / "a.mrc").stat()))


@pytest.fixture
def aligned(settings: WatchSettings, journal: Journal, finished: ExposureRow) -> ExposureRow:
    """Return an exposure with two sealed outputs, one of which has a receipt."""
    assert finished.identity is not None
    journal.note_movie(finished.exposure_id, finished.identity, sampled_digest="5" * 64, movie_digest="6" * 64)
    folder = outputs_folder(settings.work, finished)
    folder.mkdir(parents=True)
    outputs = []
    for role, suffix in (("micrograph", ".mrc"), ("results", ".json")):
        (folder / f"a{suffix}").write_bytes(b"x")
        local_path = str((folder / f"a{suffix}").relative_to(settings.work))
        names = {"role": role, "local_path": local_path, "remote_path": f"a{suffix}"}
        outputs.append(Output(**names, file_revision=1, digest=ROOT_OF_X, size_bytes=1))
    record = ExposureRecord(
        exposure_id=finished.exposure_id,
        movie="a.mrc",
        label="a",
        micrograph_pixel_size_angstrom=1,
        micrograph_width_px=1,
        micrograph_height_px=1,
        acquisition=AcquisitionRecord(
            voltage_kv=300, cs_mm=2.7, amplitude_contrast=0.1, movie_pixel_size_angstrom=1, frame_count=1
        ),
        shifts=ShiftsRecord(first_frame=1, y_px=(0.0,), x_px=(0.0,)),
        files=references(outputs),
    )
    journal.seal(finished.exposure_id, settings={}, outputs=outputs, record=record)
    receipt = Receipt(session="s", path="a.json", revision=1, size_bytes=1, digest=ROOT_OF_X)
    journal.keep_receipt(finished.exposure_id, 1, "results", receipt)
    return journal.exposure(finished.exposure_id)


def align(
    settings: WatchSettings, journal: Journal, exposure: ExposureRow, *script: ClaimAnswer | LinkLost | BadRequest
) -> tuple[StepEnd, ScriptedWorker, ScriptedReceiver]:
    receiver, worker = ScriptedReceiver(*script), ScriptedWorker(postpone)
    step = AlignStep(
        settings, journal, claim_step(settings, journal, receiver), Measurements(), lambda: False, access_of(settings)
    )
    return step.run(exposure, worker), worker, receiver


# ---- before the alignment


def test_a_claimed_movie_is_aligned_under_the_receivers_names(
    settings: WatchSettings, journal: Journal, finished: ExposureRow
) -> None:
    _, worker, receiver = align(settings, journal, finished, CLAIMED)
    assert len(worker.jobs) == 1
    (claim,) = receiver.claims
    assert (claim.exposure_id, claim.stem, claim.path) == (finished.exposure_id, "a", "a.mrc")
    assert (claim.size_bytes, claim.movie_digest, claim.reason) == (5, None, ClaimReason.NEW)
    after = journal.exposure(finished.exposure_id)
    assert (after.published_id, after.published_stem, after.revision) == (OTHER, "b", 3)
    assert after.sampled_digest == claim.sampled_digest


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (COMMITTED, f"the receiver has it: exposure {OTHER}, revision 3, b"),
        (DELETED, "it was deleted on the receiver on purpose: by anna"),
    ],
)
def test_what_the_receiver_has_or_deleted_is_not_aligned(
    settings: WatchSettings, journal: Journal, finished: ExposureRow, answer: ClaimAnswer, reason: str
) -> None:
    end, worker, _ = align(settings, journal, finished, answer)
    assert end is StepEnd.DONE
    assert worker.jobs == []
    after = journal.exposure(finished.exposure_id)
    assert (after.state, after.reason) == (State.RELEASED, reason)


def test_what_another_agent_works_on_is_asked_for_again(
    settings: WatchSettings, journal: Journal, finished: ExposureRow
) -> None:
    end, worker, _ = align(settings, journal, finished, ELSEWHERE)
    assert end is StepEnd.POSTPONED
    assert worker.jobs == []
    assert journal.exposure(finished.exposure_id).state == State.FINISHED


def test_the_whole_movie_is_read_only_if_the_receiver_needs_it(
    settings: WatchSettings, journal: Journal, finished: ExposureRow
) -> None:
    _, worker, receiver = align(settings, journal, finished, DIGEST_NEEDED, CLAIMED)
    assert [job.is_whole for job in worker.digest_jobs] == [False, True]
    assert [claim.movie_digest is None for claim in receiver.claims] == [True, False]
    assert [job.movie_digest for job in worker.jobs] == [receiver.claims[1].movie_digest]


@pytest.mark.parametrize("error", [LinkLost("no route"), BadRequest("Method Not Allowed"), BadRequest("path too long")])
def test_without_an_answer_the_movie_is_aligned_all_the_same(
    settings: WatchSettings, journal: Journal, finished: ExposureRow, error: LinkLost | BadRequest
) -> None:
    _, worker, _ = align(settings, journal, finished, error)
    assert len(worker.jobs) == 1
    assert journal.exposure(finished.exposure_id).claimed_at is None


# ---- before the files are sent


def test_a_claim_before_sending_renames_what_is_sealed(
    settings: WatchSettings, journal: Journal, aligned: ExposureRow
) -> None:
    receiver = ScriptedReceiver(CLAIMED.model_copy(update={"file_revisions": {".mrc": 4}}))
    claimed = claim_step(settings, journal, receiver).before_sending(aligned)
    assert sorted(receiver.claims[0].suffixes) == [".json", ".mrc"]
    assert isinstance(claimed, ExposureRow)
    assert claimed.record is not None
    assert (claimed.record.exposure_id, claimed.record.revision) == (OTHER, 3)
    names = {(file.path, file.revision) for file in claimed.record.files}
    assert names == {("b.mrc", 5), ("b.json", 1)}
    outputs = journal.outputs(aligned.exposure_id, 3)
    assert {(output.remote_path, output.file_revision) for output in outputs} == names
    assert all((settings.work / output.local_path).is_file() for output in outputs)
    assert not any(output.receipt for output in outputs)
    assert journal.outputs(aligned.exposure_id, 1) == []


@pytest.mark.parametrize(
    ("refused", "newest", "expected"),
    [
        (None, {}, {("a.mrc", 1, False), ("a.json", 1, True)}),
        (None, {".mrc": 1, ".json": 1}, {("a.mrc", 1, False), ("a.json", 1, True)}),  # perhaps it has arrived
        (NameTaken(), {".mrc": 1, ".json": 1}, {("a.mrc", 2, False), ("a.json", 1, True)}),
        (FilesMissing(), {".mrc": 1}, {("a.mrc", 1, False), ("a.json", 1, False)}),
    ],
)
def test_which_revisions_files_get_after_a_refusal(
    settings: WatchSettings, journal: Journal, aligned: ExposureRow, refused, newest, expected
) -> None:
    answer = ClaimAnswer(
        status=ClaimStatus.CLAIMED, exposure_id=aligned.exposure_id, revision=1, stem="a", file_revisions=newest
    )
    claim_step(settings, journal, ScriptedReceiver(answer)).before_sending(aligned, refused)
    outputs = journal.outputs(aligned.exposure_id, 1)
    assert {(each.remote_path, each.file_revision, each.receipt is not None) for each in outputs} == expected


def test_what_another_agent_committed_meanwhile_is_dropped(
    settings: WatchSettings, journal: Journal, aligned: ExposureRow
) -> None:
    end = claim_step(settings, journal, ScriptedReceiver(COMMITTED)).before_sending(aligned)
    assert end is StepEnd.DONE
    after = journal.exposure(aligned.exposure_id)
    assert (after.state, after.published_id, after.revision) == (State.RELEASED, OTHER, 3)
    assert not outputs_folder(settings.work, aligned).parent.exists()


def test_a_fresh_claim_is_not_repeated_unless_something_was_refused(
    settings: WatchSettings, journal: Journal, aligned: ExposureRow
) -> None:
    journal._db.execute("UPDATE exposures SET claimed_at = ?", (time.time(),))
    fresh, receiver = journal.exposure(aligned.exposure_id), ScriptedReceiver(CLAIMED)
    assert claim_step(settings, journal, receiver).before_sending(fresh) == fresh
    assert receiver.claims == []
    claim_step(settings, journal, receiver).before_sending(fresh, NameTaken())
    assert len(receiver.claims) == 1


def test_a_refusal_stays_one_if_the_receiver_answers_no_claims(
    settings: WatchSettings, journal: Journal, aligned: ExposureRow
) -> None:
    with pytest.raises(NameTaken):
        claim_step(settings, journal, ScriptedReceiver()).before_sending(aligned, NameTaken())
    assert claim_step(settings, journal, ScriptedReceiver()).before_sending(aligned) == aligned


def test_a_restored_receiver_gives_a_revision_a_second_time(journal: Journal, aligned: ExposureRow) -> None:
    outputs, record = journal.outputs(aligned.exposure_id, 1), aligned.record
    assert record is not None
    assert aligned.identity is not None
    journal.change(aligned.exposure_id, State.RELEASED)
    again = journal.take_up_lost(aligned.exposure_id, "the receiver has lost it")
    assert again is not None
    journal.finish(aligned.exposure_id, aligned.identity)
    answer = ClaimAnswer(status=ClaimStatus.CLAIMED, exposure_id=aligned.exposure_id, revision=1, stem="a")
    assert journal.adopt(aligned.exposure_id, answer).revision == 1
    journal.seal(aligned.exposure_id, settings={}, outputs=outputs[:1], record=record)
    assert journal.outputs(aligned.exposure_id, 1) == outputs[:1]
    assert journal.take_up_lost(aligned.exposure_id, "the receiver has lost it") is None


def test_a_name_that_differs_only_in_case_from_another_fails_that_exposure_alone(
    settings: WatchSettings, journal: Journal, aligned: ExposureRow, receiver
) -> None:
    """With a receiver that somebody has sent a file to by hand after the exposure had its name."""
    stop = threading.Event()
    with ReceiverClient(receiver.url, receiver.token("agent", "s")) as client, Sender(client) as sender:
        client.open_session("s")
        (settings.work / "A.mrc").write_bytes(b"by hand")
        sender.send(FileToSend(settings.work / "A.mrc", "s", "A.mrc"))
        claims = claim_step(settings, journal, ScriptedReceiver())
        step = SendStep(settings, journal, ReceiverLink(journal, stop), claims, Measurements(), stop.is_set)
        assert step.run(aligned, sender) is StepEnd.DONE
    after = journal.exposure(aligned.exposure_id)
    assert (after.state, stop.is_set()) == (State.FAILED, False)
    assert (
        after.reason
        == "NameDiffersInCase: a.mrc: the name differs only in upper and lower case from 'A.mrc', which is there"
    )
    assert after.hint.startswith("Send it as 'A.mrc', or rename it")
