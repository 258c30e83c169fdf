from __future__ import annotations

import pytest

from api.http.refusals import RefusalCounts
from api.http.request_rates import RequestLimits, RequestRates
from transfer.wire.errors import RateLimited


class Clock:
    moment = 0.0

    def __call__(self) -> float:
        return self.moment


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock) -> RequestLimits:
    rates = RequestRates(address_per_s=2, address_at_once=5, token_per_s=10, token_at_once=20)
    return RequestLimits(RefusalCounts(), rates, clock)


def admitted(limits: RequestLimits, address: str, token: str = "", *, most: int = 100) -> int:
    for count in range(most):
        try:
            limits.admit(address, token)
        except RateLimited:
            return count
    return most


def test_an_address_may_make_some_requests_at_once_and_some_a_second(limits, clock) -> None:
    assert admitted(limits, "a") == 5
    assert admitted(limits, "b") == 5
    with pytest.raises(RateLimited) as refused:
        limits.admit("a", "")
    assert refused.value.retry_after_s == 1
    clock.moment = 1.0
    assert admitted(limits, "a") == 2
    clock.moment = 1000.0
    assert admitted(limits, "a") == 5


def test_wrong_tokens_count_as_none(limits) -> None:
    for number in range(5):
        limits.admit("a", f"cf_guess {number}")
        limits.note_rejected("a", f"cf_guess {number}")
    with pytest.raises(RateLimited):
        limits.admit("a", "cf_guess 6")


def test_requests_without_a_token_take_nothing_from_those_with_an_unknown_one(limits) -> None:
    assert admitted(limits, "a") == 5
    limits.admit("a", "cf_valid")
    limits.note_valid("a", "cf_valid")


def test_a_token_that_was_valid_is_limited_by_itself_whatever_its_address_does(limits) -> None:
    limits.admit("a", "valid")
    limits.note_valid("a", "valid")
    assert admitted(limits, "a") == 5
    assert admitted(limits, "a", "valid") == 20
    assert admitted(limits, "b", "valid") == 0  # the same token elsewhere
    assert admitted(limits, "a", "another") == 100  # a new token of an address that showed a valid one


def test_a_valid_token_takes_nothing_from_its_address(limits) -> None:
    for number in range(20):
        limits.admit("a", f"valid {number}")
        limits.note_valid("a", f"valid {number}")
    assert admitted(limits, "a") == 5


def test_after_an_hour_an_address_and_a_token_are_forgotten(limits, clock) -> None:
    limits.admit("a", "valid")
    limits.note_valid("a", "valid")
    clock.moment = 3599.0
    assert admitted(limits, "a", "valid") == 20
    clock.moment = 3601.0
    assert admitted(limits, "a", "valid") == 5
    limits.note_valid("a", "valid")
    limits.note_rejected("a", "valid")  # revoked
    assert admitted(limits, "a", "valid") == 100  # the address may show tokens: it is asked each time


def test_what_is_remembered_is_bounded(limits) -> None:
    for number in range(30_000):
        limits.admit(f"address {number}", f"token {number}")
        limits.note_valid(f"address {number}", f"token {number}")
    assert len(limits._valid) == len(limits._known) == 10_000
    assert len(limits._of_address._left) <= 10_001
