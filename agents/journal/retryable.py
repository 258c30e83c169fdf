"""What a retry of many exposures needs to know of each, without its record: there are tens of thousands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from agents.journal.part import JournalPart
from agents.journal.states import State

_PAGE = 1000


class RetryableExposure(NamedTuple):
    """An exposure that may be processed again. `changes` and `settings` are JSON, as the journal holds them."""

    number: int
    exposure_id: UUID
    published_id: UUID
    movie: str
    label: str
    state: State
    revision: int
    changes: str
    settings: str | None
    has_warnings: bool
    has_record: bool


class RetryableExposures(JournalPart):
    """Reads exposures page by page, so that the agent can write in between."""

    def all(self) -> Iterator[RetryableExposure]:
        """Yield all exposures, by number."""
        last = 0
        while page := self.page(last, _PAGE):
            yield from page
            last = page[-1].number

    def page(self, after: int, most: int) -> list[RetryableExposure]:
        """Return at most so many exposures with numbers above `after`, by number."""
        return self._found("number > ? ORDER BY number LIMIT ?", after, most)

    def now(self, numbers: list[int]) -> list[RetryableExposure]:
        """Return these exposures as they are now."""
        return self._found(f"number IN ({', '.join('?' * len(numbers))}) ORDER BY number", *numbers)

    def _found(self, which: str, *values: int) -> list[RetryableExposure]:
        query = (
            "SELECT number, exposure_id, coalesce(receiver_exposure_id, exposure_id), movie, label, state, revision,"  # noqa: S608  # fixed text
            f" changes, settings, warnings != '[]', record IS NOT NULL FROM exposures WHERE {which}"
        )
        with self._lock:
            rows = self._db.execute(query, values).fetchall()
        return [
            RetryableExposure(number, UUID(own), UUID(published), movie, label, State(state), *rest)
            for number, own, published, movie, label, state, *rest in rows
        ]
