"""A worker and a receiver that answer as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from blake3 import blake3

from agents.finding.source_access import DirectAccess
from agents.journal.journal import Journal
from agents.sending.claims import Claims
from agents.sending.receiver_link import ReceiverLink
from agents.steps.claim_step import ClaimStep
from agents.watch_settings import WatchSettings
from agents.workers.contract import AlignmentFailure, AlignmentJob, DigestJob, MovieDigests
from preprocess.results import ProcessedMovie
from transfer.wire.errors import BadRequest, TransferError
from transfer.wire.exposure_claim import ClaimAnswer, ClaimBatch, MovieClaim

Answer = Callable[[AlignmentJob], ProcessedMovie | AlignmentFailure]


class ScriptedWorker:
    """Leaves a file in the outputs folder, then answers as the test says; its digests are right."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.jobs: list[AlignmentJob] = []
        self.digest_jobs: list[DigestJob] = []

    def start(self) -> None:
        """Nothing to start."""

    def align(self, job: AlignmentJob, should_stop: Callable[[], bool]) -> ProcessedMovie | AlignmentFailure:
        """Answer."""
        assert list(Path(job.outputs).iterdir()) == []
        (Path(job.outputs) / "half.mrc").touch()
        self.jobs.append(job)
        return self._answer(job)

    def digest(self, job: DigestJob, should_stop: Callable[[], bool]) -> MovieDigests | AlignmentFailure:
        """Return the digests of a small movie: both are of the whole content, and differ."""
        self.digest_jobs.append(job)
        content = Path(job.movie).read_bytes()
        whole = blake3(content).hexdigest() if job.is_whole else None
        return MovieDigests(sampled_digest=blake3(b"sampled" + content).hexdigest(), movie_digest=whole)

    def try_device(self, device: str, should_stop: Callable[[], bool]) -> AlignmentFailure | None:
        """Say that the device computes what it should."""

    def close(self) -> None:
        """Nothing to close."""


class ScriptedReceiver:
    """Answers claims one after the other as the test says; without a script, as a receiver that knows no claims."""

    def __init__(self, *script: ClaimAnswer | TransferError) -> None:
        self.script = list(script)
        self.claims: list[MovieClaim] = []

    def claim(self, session: str, batch: ClaimBatch) -> tuple[ClaimAnswer, ...]:
        """Answer each claim of a batch."""
        answers = []
        for claim in batch.claims:
            self.claims.append(claim)
            answer = self.script.pop(0) if self.script else BadRequest("Method Not Allowed")
            if isinstance(answer, TransferError):
                raise answer
            answers.append(answer)
        return tuple(answers)


def claim_step(settings: WatchSettings, journal: Journal, receiver: ScriptedReceiver) -> ClaimStep:
    """Return what claims exposures from a scripted receiver."""
    link = ReceiverLink(journal, threading.Event(), refused_wait_s=0)
    return ClaimStep(settings, journal, Claims(receiver, link, settings.session, UUID(int=1)))


def access_of(settings: WatchSettings) -> DirectAccess:
    """Return what asks the source of these settings."""
    return DirectAccess(settings.source, settings.layout)
