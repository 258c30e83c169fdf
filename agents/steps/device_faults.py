"""Tells a movie that makes a GPU fail from a GPU that fails with every movie."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from agents.journal.rows import ExposureRow
from agents.workers.contract import AlignmentFailure, AlignmentWorker, FailureKind


class DeviceFaults:
    """What became of movies on each worker's named GPU; safe to use from several threads.

    A failure counts against a movie only if a trial computation succeeds on the GPU afterwards, in a new process, and
    either another movie was aligned there since the movie's first failure, or no other movie fails there. Two movies
    that fail, and none between that is aligned, say more about the GPU than about either: both wait.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: dict[int, dict[UUID, bool]] = {}  # by worker: whether another movie was aligned there since

    def aligned(self, exposure_id: UUID, worker: AlignmentWorker) -> None:
        """Note that a worker's GPU has aligned a movie."""
        with self._lock:
            failed = self._failed.get(id(worker), {})
            failed.pop(exposure_id, None)
            failed.update(dict.fromkeys(failed, True))

    def judged(
        self,
        exposure: ExposureRow,
        failure: AlignmentFailure,
        worker: AlignmentWorker,
        try_device: Callable[[], AlignmentFailure | None],
    ) -> AlignmentFailure:
        """Return a failure of the GPU as one that the movie causes (CRASHED) or that it may not (DEVICE_LOST).

        Parameters
        ----------
        try_device
            Tries the worker's GPU in a new process; returns what failed, None if it computes what it should.
        """
        failed_too = try_device()
        with self._lock:
            failed = self._failed.setdefault(id(worker), {})
            is_proven = failed.setdefault(exposure.exposure_id, False)
            others = [one for one, proven in failed.items() if one != exposure.exposure_id and not proven]
        if failed_too is not None:
            reason = f"{failure.reason}; a trial computation fails there too: {failed_too.reason}"
            return replace(failure, kind=FailureKind.DEVICE_LOST, reason=reason)
        if others and not is_proven:
            reason = f"{failure.reason}; the GPU fails with other movies too, and has aligned none since"
            return replace(failure, kind=FailureKind.DEVICE_LOST, reason=reason)
        reason = f"{failure.reason}; a trial computation succeeds there, so this movie causes it"
        return replace(failure, kind=FailureKind.CRASHED, reason=reason, hint=_how_to_try_again(exposure))


def _how_to_try_again(exposure: ExposureRow) -> str:
    movie = shlex.quote(exposure.movie)
    return (
        f"`cryoferry retry {movie} --device cpu` aligns it on the CPU, `cryoferry retry {movie}` on the GPU again. "
        "The agent's log may say more."
    )
