"""Which movies are compared, in which order, and how often."""

from __future__ import annotations

from uuid import UUID

from agents.finding.comparisons import AT_ONCE, Comparisons


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def ids(*numbers: int) -> list[UUID]:
    return [UUID(int=number) for number in numbers]


def test_a_scan_decides_anew_what_waits() -> None:
    comparisons = Comparisons()
    assert comparisons.are_done
    comparisons.want(ids(3, 2, 1))
    assert not comparisons.are_done
    assert comparisons.take() == UUID(int=3)
    comparisons.want(ids(4, 3, 2))  # 3 is in hand
    assert [comparisons.take(), comparisons.take(), comparisons.take()] == [*ids(4, 2), None]
    for number in (2, 3, 4):
        assert not comparisons.are_done
        comparisons.end(UUID(int=number), has_failed=False)
    assert comparisons.are_done


def test_few_wait_at_a_time() -> None:
    comparisons = Comparisons()
    comparisons.want(ids(*range(1000)))
    taken = 0
    while comparisons.take() is not None:
        taken += 1
    assert taken == AT_ONCE


def test_one_that_failed_is_left_alone_for_a_while_and_holds_nobody_up() -> None:
    clock = Clock()
    comparisons = Comparisons(clock)
    comparisons.want(ids(1))
    comparisons.end(comparisons.take() or UUID(int=0), has_failed=True)
    comparisons.want(ids(1, 2))
    assert comparisons.take() == UUID(int=2)
    assert comparisons.take() is None
    clock.now_s = 61
    comparisons.want(ids(1))
    assert comparisons.take() == UUID(int=1)
