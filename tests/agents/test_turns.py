"""Which step comes next for which exposure: every case as plain data, and what must hold in all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agents.journal.rows import WaitingExposure
from agents.journal.states import TRANSITIONS, State
from agents.turns import (
    LONGEST_POSTPONE_S,
    MAX_ATTEMPTS,
    POSTPONE_S,
    STATES,
    AfterFailure,
    Facts,
    Step,
    StepEnd,
    Turns,
    after_failure,
)
from agents.watch_settings import Order
from agents.workers.contract import AlignmentFailure, FailureKind

CLEAR = Facts()


def row(number: int, state: State) -> WaitingExposure:
    return WaitingExposure(number, UUID(int=number), state)


def rows(*states: State) -> list[WaitingExposure]:
    """Return exposures in these states, numbered from 1."""
    return [row(number, state) for number, state in enumerate(states, 1)]


def take(turns: Turns, step: Step, waiting: list[WaitingExposure], facts: Facts = CLEAR, now_s: float = 0) -> int:
    """Return the number of the exposure whose turn it is; 0 for nobody's."""
    taken = turns.take(step, waiting, facts, now_s)
    return 0 if taken is None else taken.int


# ---- which one


@pytest.mark.parametrize(
    ("order", "expected"),
    [(Order.NEWEST, [4, 3, 2, 1, 0]), (Order.OLDEST, [1, 2, 3, 4, 0]), (Order.ALTERNATE, [4, 1, 3, 2, 0])],
)
@pytest.mark.parametrize(("step", "state"), [(Step.ALIGN, State.FINISHED), (Step.SEND, State.ALIGNED)])
def test_order_of_what_waits(order: Order, expected: list[int], step: Step, state: State) -> None:
    turns, waiting = Turns(order), rows(*[state] * 4)
    assert [take(turns, step, waiting) for _ in range(5)] == expected


def test_a_live_movie_comes_before_the_backlog() -> None:
    turns, waiting = Turns(), rows(*[State.FINISHED] * 3)
    assert take(turns, Step.ALIGN, waiting) == 3
    assert take(turns, Step.ALIGN, [*waiting, row(4, State.FINISHED)]) == 4
    assert take(turns, Step.ALIGN, waiting) == 2


def test_steps_alternate_on_their_own() -> None:
    turns = Turns(Order.ALTERNATE)
    assert take(turns, Step.ALIGN, rows(*[State.FINISHED] * 3)) == 3
    assert take(turns, Step.SEND, [row(7, State.ALIGNED), row(8, State.ALIGNED)]) == 8
    assert not turns.is_newest_first(Step.ALIGN)


def test_committed_comes_before_sending_and_sending_before_aligned() -> None:
    turns = Turns()
    waiting = rows(State.COMMITTED, State.SENDING, State.COMMITTED, State.SENDING, State.ALIGNED)
    assert [take(turns, Step.SEND, waiting) for _ in range(6)] == [3, 1, 4, 2, 5, 0]


@pytest.mark.parametrize("state", State)
def test_only_these_states_wait_for_a_step(state: State) -> None:
    assert take(Turns(), Step.ALIGN, [row(1, state)]) == (state == State.FINISHED)
    assert take(Turns(), Step.SEND, [row(1, state)]) == (state in {State.ALIGNED, State.SENDING, State.COMMITTED})


@pytest.mark.parametrize("step", Step)
def test_nothing_waits(step: Step) -> None:
    assert take(Turns(), step, []) == 0


# ---- in hand and postponed


def test_an_exposure_in_hand_is_nobody_elses() -> None:
    turns, waiting = Turns(Order.OLDEST), rows(State.FINISHED)
    assert take(turns, Step.ALIGN, waiting) == 1
    assert take(turns, Step.ALIGN, waiting) == 0
    assert turns.in_hand == {UUID(int=1): Step.ALIGN}
    turns.end(UUID(int=1), StepEnd.DONE, 1.0)
    assert turns.in_hand == {}
    assert take(turns, Step.ALIGN, waiting) == 1  # for example after its worker died


def test_an_exposure_in_hand_for_one_step_is_not_taken_for_another() -> None:
    turns = Turns(Order.OLDEST)
    assert take(turns, Step.ALIGN, rows(State.FINISHED)) == 1
    assert take(turns, Step.SEND, rows(State.ALIGNED)) == 0  # it is aligned, but its step has not ended yet


def test_a_postponed_exposure_waits_and_holds_up_nobody() -> None:
    turns, waiting = Turns(Order.OLDEST), rows(State.FINISHED, State.FINISHED)
    assert take(turns, Step.ALIGN, waiting, now_s=10) == 1
    turns.end(UUID(int=1), StepEnd.POSTPONED, 10)
    assert take(turns, Step.ALIGN, waiting, now_s=10) == 2
    assert take(turns, Step.ALIGN, waiting, now_s=10 + POSTPONE_S - 0.01) == 0
    assert take(turns, Step.ALIGN, waiting, now_s=10 + POSTPONE_S) == 1


def test_an_exposure_that_fails_again_and_again_waits_longer_each_time() -> None:
    turns, waiting, now_s, waits = Turns(), rows(State.FINISHED), 0.0, []
    for _ in range(6):
        assert take(turns, Step.ALIGN, waiting, now_s=now_s) == 1
        turns.end(UUID(int=1), StepEnd.BACKED_OFF, now_s)
        began_s = now_s
        while not take(turns, Step.ALIGN, waiting, now_s=now_s):
            now_s += 1
        turns.end(UUID(int=1), StepEnd.POSTPONED, now_s)
        waits.append(now_s - began_s)
        now_s += POSTPONE_S
    assert waits == [5, 10, 20, 40, 60, 60]
    assert take(turns, Step.ALIGN, waiting, now_s=now_s) == 1
    turns.end(UUID(int=1), StepEnd.DONE, now_s)
    assert take(turns, Step.ALIGN, waiting, now_s=now_s) == 1
    turns.end(UUID(int=1), StepEnd.BACKED_OFF, now_s)
    assert take(turns, Step.ALIGN, waiting, now_s=now_s + POSTPONE_S) == 1


def test_what_waits_longer_each_time_has_its_turn_once_the_share_works_again() -> None:
    turns, waiting = Turns(), rows(State.FINISHED, State.FINISHED)
    first = take(turns, Step.ALIGN, waiting)
    turns.end(UUID(int=first), StepEnd.BACKED_OFF, 0)
    second = take(turns, Step.ALIGN, waiting)
    turns.end(UUID(int=second), StepEnd.POSTPONED, 0)
    assert take(turns, Step.ALIGN, waiting) == 0
    turns.end_back_offs()
    assert take(turns, Step.ALIGN, waiting) == first
    assert take(turns, Step.ALIGN, waiting) == 0


def test_nothing_is_aligned_while_the_source_cannot_be_read() -> None:
    assert take(Turns(), Step.ALIGN, rows(State.FINISHED), Facts(source_down=True)) == 0
    assert take(Turns(), Step.SEND, rows(State.ALIGNED), Facts(source_down=True)) == 1


def test_only_what_is_in_hand_can_be_put_back() -> None:
    with pytest.raises(KeyError):
        Turns().end(UUID(int=1), StepEnd.DONE, 0)


def test_enough_rows_are_asked_for_even_if_the_first_ones_are_taken() -> None:
    turns, waiting = Turns(Order.OLDEST), rows(*[State.FINISHED] * 5)
    assert turns.rows_needed(0) == 1
    assert take(turns, Step.ALIGN, waiting) == 1
    assert take(turns, Step.ALIGN, waiting) == 2
    turns.end(UUID(int=1), StepEnd.POSTPONED, 0)
    assert turns.rows_needed(0) == 3
    assert take(turns, Step.ALIGN, waiting[: turns.rows_needed(0)]) == 3
    assert turns.rows_needed(POSTPONE_S) == 3  # two in hand, none postponed any more


# ---- facts


@pytest.mark.parametrize("facts", [Facts(stopping=True), Facts(paused=True), Facts(waiting=True)])
@pytest.mark.parametrize("state", State)
def test_nothing_starts_when_stopping_paused_or_waiting(facts: Facts, state: State) -> None:
    for step in Step:
        assert take(Turns(), step, [row(1, state)], facts) == 0


def test_a_paused_agent_finishes_what_is_in_hand_and_goes_on_when_resumed() -> None:
    turns, waiting = Turns(Order.OLDEST), rows(State.FINISHED, State.FINISHED)
    assert take(turns, Step.ALIGN, waiting) == 1
    assert take(turns, Step.ALIGN, waiting, Facts(paused=True)) == 0
    turns.end(UUID(int=1), StepEnd.DONE, 1)
    assert take(turns, Step.ALIGN, waiting[1:], Facts(paused=True)) == 0
    assert take(turns, Step.ALIGN, waiting[1:]) == 2


def test_a_full_disk_stops_alignment_and_nothing_else() -> None:
    full = Facts(work_full=True)
    assert take(Turns(), Step.ALIGN, rows(State.FINISHED), full) == 0
    for state in STATES[Step.SEND]:  # sending frees the disk
        assert take(Turns(), Step.SEND, rows(state), full) == 1


def test_alignment_goes_on_while_the_link_is_down() -> None:
    assert take(Turns(), Step.ALIGN, rows(State.FINISHED), Facts(link_down=True)) == 1


def test_while_the_link_is_down_one_exposure_tries_it_for_all() -> None:
    turns, down = Turns(), Facts(link_down=True)
    waiting = rows(State.ALIGNED, State.ALIGNED)
    assert take(turns, Step.SEND, waiting, down) == 2
    assert take(turns, Step.SEND, waiting, down) == 0
    assert take(turns, Step.SEND, [*waiting, row(3, State.COMMITTED)], down) == 3  # needs no link
    assert take(turns, Step.SEND, waiting) == 1  # the link is back


def test_clearing_away_does_not_count_as_a_try_of_the_link() -> None:
    turns, down = Turns(), Facts(link_down=True)
    assert take(turns, Step.SEND, rows(State.COMMITTED, State.ALIGNED), down) == 1
    assert take(turns, Step.SEND, rows(State.COMMITTED, State.ALIGNED), down) == 2


# ---- what follows from a failed alignment


def failure(kind: FailureKind) -> AlignmentFailure:
    return AlignmentFailure(kind=kind, reason="it is dark", hint="Light it.")


@pytest.mark.parametrize(
    ("kind", "attempts", "expected"),
    [
        (FailureKind.STOPPED, 0, AfterFailure(state=None, reason="it is dark")),
        (FailureKind.POSTPONED, 0, AfterFailure(state=None, reason="it is dark", end=StepEnd.BACKED_OFF)),
        (FailureKind.DEVICE_LOST, 9, AfterFailure(state=None, reason="it is dark", end=StepEnd.BACKED_OFF)),
        (FailureKind.CRASHED, 2, AfterFailure(state=None, reason="it is dark", end=StepEnd.BACKED_OFF)),
        (FailureKind.CRASHED, 3, AfterFailure(state=State.FAILED, reason="it is dark, 3 times", hint="Light it.")),
        (FailureKind.DIED, MAX_ATTEMPTS - 1, AfterFailure(state=None, reason="it is dark")),
        (FailureKind.HUNG, 1, AfterFailure(state=None, reason="it is dark")),
        (FailureKind.DIED, 3, AfterFailure(state=State.FAILED, reason="it is dark, 3 times", hint="Light it.")),
        (FailureKind.HUNG, 4, AfterFailure(state=State.FAILED, reason="it is dark, 4 times", hint="Light it.")),
        (FailureKind.HELD_BACK, 0, AfterFailure(state=State.HELD, reason="it is dark", hint="Light it.")),
        (FailureKind.REFUSED, 0, AfterFailure(state=State.FAILED, reason="it is dark", hint="Light it.")),
    ],
)
def test_what_follows_from_a_failure(kind: FailureKind, attempts: int, expected: AfterFailure) -> None:
    assert after_failure(failure(kind), attempts) == expected


@given(kind=st.sampled_from(FailureKind), attempts=st.integers(0, 10))
def test_what_follows_is_permitted_and_ends_in_time(kind: FailureKind, attempts: int) -> None:
    after = after_failure(failure(kind), attempts)
    assert after.state is None or after.state in TRANSITIONS[State.FINISHED]
    if kind in (FailureKind.CRASHED, FailureKind.DIED, FailureKind.HUNG) and attempts >= MAX_ATTEMPTS:
        assert after.state == State.FAILED


# ---- what holds whatever happens


@dataclass
class Model:
    """Exposures as a journal would have them, and the step that each has in hand."""

    states: dict[int, State] = field(default_factory=dict)
    in_hand: dict[int, Step] = field(default_factory=dict)
    postponed_until_s: dict[int, float] = field(default_factory=dict)
    failures: dict[int, int] = field(default_factory=dict)
    now_s: float = 0.0


class AnyCourse(RuleBasedStateMachine):
    """Movies come, threads ask, steps end, facts change, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.turns, self.model, self.facts = Turns(), Model(), CLEAR

    @initialize(order=st.sampled_from(Order))
    def begin(self, order: Order) -> None:
        self.turns = Turns(order)

    @rule(state=st.sampled_from([State.FINISHED, State.ALIGNED, State.SENDING, State.COMMITTED, State.HELD]))
    def come(self, state: State) -> None:
        self.model.states[len(self.model.states) + 1] = state

    @rule(facts=st.builds(Facts, **dict.fromkeys((each.name for each in fields(Facts)), st.booleans())))
    def change_facts(self, facts: Facts) -> None:
        self.facts = facts

    @rule()
    def become_clear(self) -> None:
        self.facts = CLEAR

    @rule(seconds=st.floats(0, 2 * POSTPONE_S))
    def pass_time(self, seconds: float) -> None:
        self.model.now_s += seconds

    @rule(step=st.sampled_from(Step))
    def ask(self, step: Step) -> None:
        model, facts = self.model, self.facts
        wanted, is_newest_first = self.turns.states(step, facts), self.turns.is_newest_first(step)
        number = take(self.turns, step, self.shown(step, wanted), facts, model.now_s)
        free = {
            n: state
            for n, state in model.states.items()
            if state in wanted and n not in model.in_hand and model.postponed_until_s.get(n, 0) <= model.now_s
        }
        if number == 0:
            assert not free, "somebody waits, and it is nobody's turn"
            return
        assert not facts.stopping
        assert not facts.paused
        assert not facts.waiting
        assert not (step is Step.ALIGN and (facts.work_full or facts.source_down))
        assert number not in model.in_hand
        assert model.postponed_until_s.get(number, 0) <= model.now_s
        assert model.states[number] in STATES[step]
        self.check_order(step, number, free, max if is_newest_first else min)
        model.in_hand[number] = step

    def shown(self, step: Step, wanted: tuple[State, ...]) -> list[WaitingExposure]:
        """Return what the journal shows: of each state as many as are needed, no more."""
        most = self.turns.rows_needed(self.model.now_s)
        found: list[WaitingExposure] = []
        for state in wanted:
            numbers = sorted(
                (n for n, s in self.model.states.items() if s == state), reverse=self.turns.is_newest_first(step)
            )
            found += [row(number, state) for number in numbers[:most]]
        return found

    @staticmethod
    def check_order(step: Step, number: int, free: dict[int, State], first: Callable[[list[int]], int]) -> None:
        urgency = STATES[step].index
        assert urgency(free[number]) == min(urgency(state) for state in free.values())
        of_same_state = [n for n, state in free.items() if state == free[number]]
        assert number == first(of_same_state)

    @precondition(lambda self: self.model.in_hand)
    @rule(data=st.data(), how=st.sampled_from(StepEnd))
    def end(self, data: st.DataObject, how: StepEnd) -> None:
        number = data.draw(st.sampled_from(sorted(self.model.in_hand)))
        self.turns.end(UUID(int=number), how, self.model.now_s)
        step = self.model.in_hand.pop(number)
        if how is StepEnd.POSTPONED:
            self.model.postponed_until_s[number] = self.model.now_s + POSTPONE_S
        elif how is StepEnd.BACKED_OFF:
            failures = self.model.failures.get(number, 0)
            self.model.failures[number] = failures + 1
            self.model.postponed_until_s[number] = self.model.now_s + min(POSTPONE_S * 2**failures, LONGEST_POSTPONE_S)
        else:
            self.model.failures.pop(number, None)
            after = {Step.ALIGN: [State.ALIGNED, State.FAILED, State.FINISHED], Step.SEND: [State.RELEASED]}
            self.model.states[number] = data.draw(st.sampled_from(after[step]))

    @invariant()
    def the_same_are_in_hand(self) -> None:
        assert self.turns.in_hand == {UUID(int=number): step for number, step in self.model.in_hand.items()}


TestAnyCourse = AnyCourse.TestCase
