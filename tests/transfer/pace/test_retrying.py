"""Retries: of temporary errors only, within the time given, not before the receiver asks, and never after a stop."""

from dataclasses import replace
from itertools import pairwise

import pytest

from transfer.connections.patience import Patience
from transfer.pace.retrying import LONGEST_WAIT_S, POLL_S, RetryPolicy, jittered
from transfer.wire.errors import AuthRejected, LinkLost, NameTaken, RateLimited, TransferStopped


class Clock:
    """Time that passes only while somebody sleeps, and always as long as was asked for."""

    def __init__(self):
        self.now_s = 1000.0

    def now(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def policy(clock):
    """Return a function that makes a policy by the test's own clock."""
    return lambda give_up_after_s, should_stop: RetryPolicy(give_up_after_s, should_stop, clock.now, clock.sleep)


class Failing:
    """A request that raises the given errors one after the other, then answers."""

    def __init__(self, clock, *errors):
        self.clock = clock
        self.errors = list(errors)
        self.calls = []

    def __call__(self):
        self.calls.append(self.clock.now())
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def never():
    return False


def test_temporary_errors_are_retried_with_growing_waits(clock, policy):
    request = Failing(clock, LinkLost(), LinkLost(), LinkLost())
    assert policy(30, never).repeat(request) == "answer"
    waits = [after - before for before, after in pairwise(request.calls)]
    for wait, least in zip(waits, [0.1, 0.2, 0.4], strict=True):
        assert wait >= least


@pytest.mark.parametrize("error", [AuthRejected(), NameTaken()])
def test_permanent_errors_are_raised_at_once(error, clock, policy):
    request = Failing(clock, error)
    with pytest.raises(type(error)):
        policy(None, never).repeat(request)
    assert len(request.calls) == 1


def test_it_gives_up_in_time_with_the_last_error(clock, policy):
    request = Failing(clock, *(LinkLost(f"failure {number}") for number in range(1000)))
    began_s = clock.now_s
    with pytest.raises(LinkLost, match=r"failure [1-9]"):
        policy(0.5, never).repeat(request)
    assert began_s < clock.now_s <= began_s + 0.5


@pytest.mark.parametrize("limits_attempts", [True, False])
def test_the_time_includes_the_first_request_unless_attempts_have_their_own(clock, policy, limits_attempts):
    def slow():
        if not request.calls:
            clock.sleep(0.5)
        return request()

    request = Failing(clock, LinkLost())
    retry = replace(policy(0.4, never), limits_attempts=limits_attempts)
    if limits_attempts:
        with pytest.raises(LinkLost):
            retry.repeat(slow)
    else:
        assert retry.repeat(slow) == "answer"


def test_a_file_that_moves_in_the_first_request_is_a_sign_of_the_receiver(clock, policy):
    def slow():
        if not request.calls:
            clock.sleep(0.5)
            Patience(60).moved(1)
        return request()

    request = Failing(clock, LinkLost())
    assert policy(0.4, never).repeat(slow) == "answer"


def test_each_attempt_may_take_what_is_left_and_a_least_time(clock, policy):
    left = []

    def slow():
        left.append(Patience(60).left_s())
        clock.sleep(3)
        raise LinkLost

    with pytest.raises(LinkLost):
        policy(4, never).repeat(slow)
    assert left == [pytest.approx(4, abs=0.1), pytest.approx(1, abs=0.3)]


def test_without_time_to_retry_the_first_error_is_raised(clock, policy):
    request = Failing(clock, LinkLost())
    with pytest.raises(LinkLost):
        policy(0, never).repeat(request)


def asked_to_wait(seconds):
    error = RateLimited()
    error.retry_after_s = seconds
    return error


def test_retry_after_is_obeyed(clock, policy):
    request = Failing(clock, asked_to_wait(0.7))
    assert policy(30, never).repeat(request) == "answer"
    assert request.calls[1] - request.calls[0] >= 0.7


def test_a_wait_longer_than_the_time_left_is_not_begun(clock, policy):
    began_s = clock.now_s
    with pytest.raises(RateLimited):
        policy(5, never).repeat(Failing(clock, asked_to_wait(3600)))
    assert clock.now_s == began_s


def test_a_stop_ends_the_longest_wait_soon(clock, policy):
    stop_s = clock.now_s + 300
    with pytest.raises(TransferStopped):
        policy(None, lambda: clock.now_s >= stop_s).repeat(Failing(clock, asked_to_wait(3600)))
    assert stop_s <= clock.now_s < stop_s + 2 * POLL_S


def test_nothing_is_asked_after_a_stop(clock, policy):
    request = Failing(clock)
    with pytest.raises(TransferStopped):
        policy(None, lambda: True).repeat(request)
    assert not request.calls


def test_waits_have_a_random_part():
    waits = {jittered(1, 2) for _ in range(50)}
    assert len(waits) > 40
    assert all(1 <= wait <= 2 for wait in waits)
    assert LONGEST_WAIT_S <= 30
