"""Fills an agent's journal with as many exposures as a long session has, through the journal's own write functions."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from blake3 import blake3

from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal
from agents.journal.outputs import Output
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from transfer.wire.chunks import split
from transfer.wire.digest import root_digest
from transfer.wire.exposure_claim import ClaimAnswer, ClaimStatus
from transfer.wire.exposure_record import (
    AcquisitionRecord,
    ExposureRecord,
    FileReference,
    FileRole,
    ProvenanceRecord,
    ShiftsRecord,
    TimesRecord,
)
from transfer.wire.figures import FIGURES
from transfer.wire.receipt import Receipt
from transfer.wire.remote_names import remote_path

FILE_BYTES = {
    FileRole.MICROGRAPH: (".mrc", 47_000_000),
    FileRole.MOTION_STAR: (".star", 6_000),
    FileRole.RESULTS: (".json", 9_000),
    FileRole.THUMBNAIL: (".png", 206_000),
    FileRole.SPECTRUM: ("_spectrum.png", 120_000),
    FileRole.MOTION_PLOT: ("_motion.png", 15_000),
}
"""The files of an exposure: suffix and size."""

MOVIE_BYTES = 1_000_000
SETTINGS_DIGEST = blake3(b"settings").hexdigest()

_FRAMES = 40
_STEP_S = 2.0
_HOLES_IN_A_SQUARE = 400


def _ignore(record: ExposureRecord) -> None:
    """Publish nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledSession:
    """What a journal is filled with. Its last change was just before `ended_at_s`, in seconds since 1970.

    Attributes
    ----------
    exposure_count
        All exposures. They are released, but for those that the next attributes take.
    failed_every, held_every
        Each exposure of that number is failed or held; 0: none.
    waiting_count
        The newest ones are finished, aligned or sending, in turn.
    movies_per_hour
        How fast they came.
    movie_bytes
        Size of a movie.
    files
        Suffix and size of each file of an exposure.
    """

    exposure_count: int
    failed_every: int = 300
    held_every: int = 1000
    waiting_count: int = 6
    movies_per_hour: float = 815.0
    movie_bytes: int = MOVIE_BYTES
    files: dict[FileRole, tuple[str, int]] = field(default_factory=lambda: dict(FILE_BYTES))
    session: str = "s"
    ended_at_s: float = field(default_factory=time.time)

    def state(self, number: int) -> State:
        """Return the state of an exposure; they are numbered from 1."""
        if number > self.exposure_count - self.waiting_count:
            return (State.FINISHED, State.ALIGNED, State.SENDING)[number % 3]
        if self.failed_every and number % self.failed_every == 0:
            return State.FAILED
        if self.held_every and number % self.held_every == self.held_every // 2:
            return State.HELD
        return State.RELEASED

    def found_at_s(self, number: int) -> float:
        """Return when a movie was found, in seconds since 1970."""
        return self.ended_at_s - 10 * _STEP_S - (self.exposure_count - number) * 3600.0 / self.movies_per_hour

    def movie(self, number: int) -> str:
        """Return the path of a movie in the source, as EPU names it."""
        square, hole = 25_594_000 + number // _HOLES_IN_A_SQUARE, 25_598_000 + number
        taken = datetime.fromtimestamp(self.found_at_s(number), UTC)
        name = f"FoilHole_{hole}_Data_25597084_1_{taken:%Y%m%d_%H%M%S}_fractions.tiff"
        return f"Images-Disc1/GridSquare_{square}/Data/{name}"


class _SetClock:
    """A clock that shows the time that it was set to last, in seconds since 1970."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def fill_journal(
    work: Path,
    session: FilledSession,
    *,
    source: Path | None = None,
    publish: Callable[[ExposureRecord], None] = _ignore,
    per_transaction: int = 1000,
    about: dict[str, str] | None = None,
    first: int = 1,
) -> None:
    """Fill the journal of a work folder; the clock of the journal shows when an agent would have worked.

    Parameters
    ----------
    work
        The work folder.
    source
        Where the movies are made, as sparse files; None: they are not made.
    publish
        Is given the record of each released exposure, in their order: to fill a receiver with the same exposures. A
        file in it has the digest of a file of zeros.
    per_transaction
        Exposures that are entered in one transaction.
    about
        What to note about the work folder besides its session and source, such as `url`.
    first
        Number of the first exposure that is entered; the journal has those before it.
    """
    work.mkdir(parents=True, exist_ok=True)
    clock = _SetClock()
    journal = Journal(work, clock=clock)
    try:
        journal.note(session=session.session, source=str((source or work / "source").resolve()), **(about or {}))
        numbers = range(first, session.exposure_count + 1)
        for start in range(0, len(numbers), per_transaction):
            with journal.transaction():
                for number in numbers[start : start + per_transaction]:
                    _enter(journal, clock, session, number, source, publish)
    finally:
        journal.close()


def _enter(
    journal: Journal,
    clock: _SetClock,
    session: FilledSession,
    number: int,
    source: Path | None,
    publish: Callable[[ExposureRecord], None],
) -> None:
    """Take an exposure through the states, up to its own."""
    until, movie = session.state(number), session.movie(number)
    clock.now_s = session.found_at_s(number)
    found = journal.find(movie, Path(movie).stem, remote_path(movie.removesuffix(".tiff")))
    clock.now_s += _STEP_S
    identity = _movie_file(session, number, source)
    exposure = journal.finish(found.exposure_id, identity)
    clock.now_s += _STEP_S
    if until == State.FINISHED:
        return
    if until == State.FAILED:
        reason = f"AlignmentDied: the worker process that aligned {movie} ended with signal 9 (three attempts)"
        journal.change(exposure.exposure_id, until, reason, "Look at the agent's log; then `cryoferry retry`.")
        return
    if until == State.HELD:
        reason = "AcquisitionConflict: the pixel size is 0.83 Å in the sidecar and 1.66 Å in the header"
        journal.change(exposure.exposure_id, until, reason, "Give the right one with `cryoferry retry --pixel-size`.")
        return
    sampled, whole = digests_of_movie(movie)
    journal.note_movie(exposure.exposure_id, identity, sampled_digest=sampled, movie_digest=whole)
    granted = ClaimAnswer(status=ClaimStatus.CLAIMED, exposure_id=exposure.exposure_id, stem=exposure.remote_stem)
    record = _seal(journal, session, journal.adopt(exposure.exposure_id, granted))
    for state in (State.SENDING, State.COMMITTED, State.RELEASED):
        if journal.exposure(exposure.exposure_id).state == until:
            return
        if state == State.COMMITTED:
            _keep_receipts(journal, session, record)
        clock.now_s += _STEP_S
        journal.change(exposure.exposure_id, state)
    publish(record)


def _movie_file(session: FilledSession, number: int, source: Path | None) -> FileIdentity:
    """Return the identity of a movie; make its file if there is a source."""
    mtime_ns = int(session.found_at_s(number) * 1e9)
    if source is None:
        return FileIdentity(session.movie_bytes, mtime_ns, device=1, inode=number)
    path = source / session.movie(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(session.movie_bytes)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return FileIdentity.of(path.stat())


def _seal(journal: Journal, session: FilledSession, exposure: ExposureRow) -> ExposureRecord:
    outputs = [
        Output(
            role=role,
            local_path=f"exposures/{exposure.exposure_id}/r1/{exposure.label}{suffix}",
            remote_path=f"{exposure.remote_stem}{suffix}",
            file_revision=1,
            digest=digest_of_zeros(size_bytes),
            size_bytes=size_bytes,
        )
        for role, (suffix, size_bytes) in session.files.items()
    ]
    record = filled_record(exposure, outputs)
    journal.seal(exposure.exposure_id, settings={"settings": {"bin_factor": 1}}, outputs=outputs, record=record)
    return record


def filled_record(exposure: ExposureRow, outputs: list[Output]) -> ExposureRecord:
    """Return a record of the size that records have: 40 frames, every known figure."""
    taken = datetime.fromtimestamp(exposure.found_at, UTC)
    shifts = tuple(round(frame * 0.11, 4) for frame in range(_FRAMES))
    return ExposureRecord(
        exposure_id=exposure.exposure_id,
        movie=exposure.movie,
        label=exposure.label,
        micrograph_pixel_size_angstrom=0.83,
        micrograph_width_px=5760,
        micrograph_height_px=4092,
        acquisition=AcquisitionRecord(
            voltage_kv=300,
            cs_mm=2.7,
            amplitude_contrast=0.1,
            movie_pixel_size_angstrom=0.83,
            dose_per_frame_e_per_a2=1.0,
            frame_count=_FRAMES,
            shutter_time=taken,
            grid_square=exposure.movie.split("/")[1],
        ),
        shifts=ShiftsRecord(first_frame=1, y_px=shifts, x_px=shifts),
        times=TimesRecord(found=taken, finished=taken, aligned=taken, sent=taken + timedelta(seconds=_STEP_S)),
        figures=dict.fromkeys(FIGURES, 12.3456),
        provenance=ProvenanceRecord(
            software="cryoferry", movie_digest=digests_of_movie(exposure.movie)[1], settings_digest=SETTINGS_DIGEST
        ),
        files=tuple(
            FileReference(
                role=FileRole(output.role),
                path=output.remote_path,
                revision=output.file_revision,
                size_bytes=output.size_bytes,
                digest=output.digest,
            )
            for output in outputs
        ),
    )


def digests_of_movie(movie: str) -> tuple[str, str]:
    """Return what stands for the sampled digest of a movie and for that of all of it; no two movies have the same."""
    return blake3(b"sampled " + movie.encode()).hexdigest(), blake3(movie.encode()).hexdigest()


def _keep_receipts(journal: Journal, session: FilledSession, record: ExposureRecord) -> None:
    for file in record.files:
        receipt = Receipt(
            session=session.session,
            path=file.path,
            revision=file.revision,
            size_bytes=file.size_bytes,
            digest=file.digest,
        )
        journal.keep_receipt(record.exposure_id, record.revision, file.role, receipt)


@cache
def digest_of_zeros(size_bytes: int) -> str:
    """Return the root digest, in hex, of a file of so many zeros."""
    return root_digest(blake3(bytes(len(chunk))).digest() for chunk in split(size_bytes))
