"""Decides which step comes next for which exposure.

Pure: no thread, no disk, no clock of its own. What it needs to know comes in as arguments (rows of the journal, facts
about the agent, the time), so that a test can put any case to it. `agents.daemon` asks it and does what it says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from uuid import UUID

from agents.journal.rows import WaitingExposure
from agents.journal.states import State
from agents.watch_settings import Order
from agents.workers.contract import AlignmentFailure, FailureKind

MAX_ATTEMPTS = 3
"""A movie whose worker died or hung, or that made the GPU fail, this often has failed."""

POSTPONE_S, LONGEST_POSTPONE_S = 5.0, 60.0
"""How long an exposure that cannot be done now waits before it is tried again; at most so long after many failures."""


class Step(StrEnum):
    """What is done for an exposure at a time."""

    ALIGN = "align"
    SEND = "send"


STATES = {Step.ALIGN: (State.FINISHED,), Step.SEND: (State.COMMITTED, State.SENDING, State.ALIGNED)}
"""The states of exposures that wait for a step, the most urgent first.

A committed exposure's files only have to be removed, which frees disk space. An exposure whose upload an earlier run
began comes before one whose upload has not begun.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What holds for the agent as a whole, now."""

    stopping: bool = False
    paused: bool = False
    work_full: bool = False
    source_down: bool = False
    link_down: bool = False
    waiting: bool = False
    """Another agent works on the session, or it is not known yet whether one does."""


class StepEnd(Enum):
    """How a step ended."""

    DONE = "done"  # the exposure has another state, or can be taken again at once
    POSTPONED = "postponed"  # it cannot be done now
    BACKED_OFF = "backed off"  # it cannot be done now, and waits longer each time: the share or the device fails


class Turns:
    """Which exposures are in hand, which are postponed, and which is next.

    Not safe to use from several threads at once: the caller holds a lock.
    """

    def __init__(self, order: Order = Order.NEWEST) -> None:
        self._in_hand: dict[UUID, tuple[Step, State]] = {}
        self._not_before_s: dict[UUID, float] = {}
        self._failures: dict[UUID, int] = {}
        self._order = order
        self._newest_is_next = dict.fromkeys(Step, True)  # for `alternate`

    def is_newest_first(self, step: Step) -> bool:
        """Return whether the exposure that `take` takes next for this step is the newest or the oldest of its state."""
        return self._newest_is_next[step] if self._order is Order.ALTERNATE else self._order is Order.NEWEST

    @property
    def in_hand(self) -> dict[UUID, Step]:
        """The exposures whose step a thread does now."""
        return {exposure_id: step for exposure_id, (step, _) in self._in_hand.items()}

    def states(self, step: Step, facts: Facts) -> tuple[State, ...]:
        """Return in which states an exposure may start this step now, the most urgent state first."""
        if facts.stopping or facts.paused or facts.waiting:
            return ()
        if step is Step.ALIGN:
            return () if facts.work_full or facts.source_down else STATES[step]
        if facts.link_down and self._is_link_tried():
            return (State.COMMITTED,)
        return STATES[step]

    def _is_link_tried(self) -> bool:
        """Return whether a step in hand needs the receiver: while the link is down, one tries for all."""
        return any(step is Step.SEND and state is not State.COMMITTED for step, state in self._in_hand.values())

    def rows_needed(self, now_s: float) -> int:
        """Return how many exposures of each state `take` must be shown, in the order of the step."""
        self._forget_passed(now_s)
        return len(self._in_hand.keys() | self._not_before_s.keys()) + 1

    def take(self, step: Step, rows: Iterable[WaitingExposure], facts: Facts, now_s: float) -> UUID | None:
        """Return the exposure whose turn it is, which is in hand from now on; None if none has its turn.

        Parameters
        ----------
        rows
            Exposures as the journal has them now; at least the first `rows_needed` of each state, by `is_newest_first`.
        now_s
            Monotonic time in seconds.
        """
        self._forget_passed(now_s)
        states = self.states(step, facts)
        taken = self._in_hand.keys() | self._not_before_s.keys()
        candidates = [row for row in rows if row.state in states and row.exposure_id not in taken]
        if not candidates:
            return None
        sign = -1 if self.is_newest_first(step) else 1
        first = min(candidates, key=lambda row: (states.index(row.state), sign * row.number))
        self._newest_is_next[step] = not self._newest_is_next[step]
        self._in_hand[first.exposure_id] = (step, first.state)
        return first.exposure_id

    def end(self, exposure_id: UUID, how: StepEnd, now_s: float) -> None:
        """Put an exposure back after its step."""
        del self._in_hand[exposure_id]
        if how is StepEnd.POSTPONED:
            self._not_before_s[exposure_id] = now_s + POSTPONE_S
        elif how is StepEnd.BACKED_OFF:
            failures = self._failures.get(exposure_id, 0)
            self._failures[exposure_id] = failures + 1
            wait_s = min(POSTPONE_S * 2 ** min(failures, 10), LONGEST_POSTPONE_S)
            self._not_before_s[exposure_id] = now_s + wait_s
        else:
            self._failures.pop(exposure_id, None)

    def end_back_offs(self) -> None:
        """Let exposures that wait longer each time have their turn now, because what failed works again."""
        self._not_before_s = {key: until_s for key, until_s in self._not_before_s.items() if key not in self._failures}

    def _forget_passed(self, now_s: float) -> None:
        self._not_before_s = {key: until_s for key, until_s in self._not_before_s.items() if until_s > now_s}


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterFailure:
    """What follows from a failed alignment.

    Attributes
    ----------
    state
        The state that the exposure takes; None: it stays finished and is aligned again.
    end
        Whether it waits before that.
    """

    state: State | None
    reason: str
    hint: str = ""
    end: StepEnd = StepEnd.DONE


def after_failure(failure: AlignmentFailure, attempts: int) -> AfterFailure:
    """Return what follows from a failed alignment.

    Parameters
    ----------
    attempts
        How many attempts ended with the worker's death, its timeout or a failure that the movie causes on the GPU, this
        one included.
    """
    match failure.kind:
        case FailureKind.STOPPED:
            return AfterFailure(state=None, reason=failure.reason)
        case FailureKind.POSTPONED | FailureKind.WORK_FOLDER | FailureKind.DEVICE_LOST:
            return AfterFailure(state=None, reason=failure.reason, end=StepEnd.BACKED_OFF)
        case FailureKind.CRASHED | FailureKind.DIED | FailureKind.HUNG if attempts < MAX_ATTEMPTS:
            # Others have their turn before one that makes the GPU fail: they show whose fault it is.
            end = StepEnd.BACKED_OFF if failure.kind is FailureKind.CRASHED else StepEnd.DONE
            return AfterFailure(state=None, reason=failure.reason, end=end)
        case FailureKind.CRASHED | FailureKind.DIED | FailureKind.HUNG:
            return AfterFailure(state=State.FAILED, reason=f"{failure.reason}, {attempts} times", hint=failure.hint)
        case FailureKind.HELD_BACK:
            return AfterFailure(state=State.HELD, reason=failure.reason, hint=failure.hint)
        case FailureKind.REFUSED:
            return AfterFailure(state=State.FAILED, reason=failure.reason, hint=failure.hint)
