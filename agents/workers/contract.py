"""The contract between the agent and whatever aligns movies for it.

A job goes in as plain data, a result or a typed failure comes out. A worker also computes the digests of movies: a
share that hangs while a movie is read holds up a worker, never the agent.

`local_process` implements the contract with one process on this machine. A worker on another machine can implement it
too, because a job and its answer can be written as JSON; it must see the same paths for movies and outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from preprocess.results import ProcessedMovie


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentJob:
    """One movie to align.

    Attributes
    ----------
    movie
        Absolute path of the movie.
    outputs
        Absolute path of an existing, empty folder. The worker writes all files there and nothing anywhere else.
    settings
        How to align, as `agents.workers.jobs.to_json` writes it.
    timeout_s
        The worker gives up after this many seconds.
    movie_digest
        BLAKE3 of the movie, if it is known; otherwise the worker computes it first, and the result holds it.
    orientations
        What the session knows of its gain references, as `agents.workers.jobs.orientations_to_json` writes it.
    """

    movie: str
    outputs: str
    settings: Mapping[str, Any]
    timeout_s: float
    movie_digest: str | None = None
    orientations: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the job as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AlignmentJob:
        """Return the job that JSON values describe."""
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestJob:
    """One movie whose digests are wanted.

    Attributes
    ----------
    movie
        Absolute path of the movie.
    is_whole
        Whether the digest of all its bytes is wanted too; otherwise only the sampled one.
    timeout_s
        The worker gives up after this many seconds.
    """

    movie: str
    is_whole: bool
    timeout_s: float

    def as_json(self) -> dict[str, Any]:
        """Return the job as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DigestJob:
        """Return the job that JSON values describe."""
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class MovieDigests:
    """The digests of a movie, in hex.

    Attributes
    ----------
    sampled_digest
        BLAKE3 over its size and samples of it: `transfer.wire.exposure_claim.samples`.
    movie_digest
        BLAKE3 over all its bytes, as `b3sum` prints it; None: it was not wanted.
    """

    sampled_digest: str
    movie_digest: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the digests as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MovieDigests:
        """Return the digests that JSON values describe."""
        return cls(**values)


class FailureKind(StrEnum):
    """Why a job gave no result; the agent decides by this kind alone what happens next."""

    REFUSED = "refused"  # the movie cannot be aligned, and another attempt would end the same way
    HELD_BACK = "held-back"  # a setting is missing or contradicts another one: a person must decide
    POSTPONED = "postponed"  # the source, the disk or the device cannot do it now
    WORK_FOLDER = "work-folder"  # nothing can be written to the work folder now, for this movie or another
    DEVICE_LOST = "device-lost"  # the GPU failed while it did this; whether the movie causes it is not known
    CRASHED = "crashed"  # the movie makes the GPU fail, which computes others
    DIED = "died"  # the worker ended without an answer
    HUNG = "hung"  # the worker gave no answer within the job's timeout
    STOPPED = "stopped"  # the agent is stopping and asked the worker to stop


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentFailure:
    """A job that gave no result.

    Attributes
    ----------
    reason
        What happened, for people.
    hint
        What a person can do about it; empty when nothing needs to be done.
    orientation
        What a movie says of its gain reference's orientation (`camera`, `key`, `evidence`), where that is the reason.
    """

    kind: FailureKind
    reason: str
    hint: str = ""
    orientation: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the failure as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AlignmentFailure:
        """Return the failure that JSON values describe."""
        return cls(
            kind=FailureKind(values["kind"]),
            reason=values["reason"],
            hint=values["hint"],
            orientation=values.get("orientation"),
        )


class AlignmentWorker(Protocol):
    """Aligns one movie at a time. One thread of the agent uses it; `close` ends it."""

    def start(self) -> None:
        """Get ready, so that the first job does not wait for libraries to load."""

    def align(self, job: AlignmentJob, should_stop: Callable[[], bool]) -> ProcessedMovie | AlignmentFailure:
        """Align one movie.

        Parameters
        ----------
        should_stop
            Asked at least every second. Once it returns True, the worker stops and answers `FailureKind.STOPPED`.

        Returns
        -------
        ProcessedMovie
            Every file that it names is complete; it need not be durable yet.
        AlignmentFailure
            The outputs folder may hold incomplete files. The worker can take the next job after every kind of failure.
        """

    def digest(self, job: DigestJob, should_stop: Callable[[], bool]) -> MovieDigests | AlignmentFailure:
        """Compute the digests of one movie; `should_stop` and failures as with `align`."""

    def try_device(self, device: str, should_stop: Callable[[], bool]) -> AlignmentFailure | None:
        """Compute something small on a CUDA device, in a process that has not used it; return what failed, or None."""

    def close(self) -> None:
        """End the worker and free what it holds; harmless when it has ended already."""
