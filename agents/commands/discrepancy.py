"""What `cryoferry status --check` finds: movies or exposures that are not where they should be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

MOST_NAMED = 10


@dataclass(slots=True)
class Named:
    """Counts names, and keeps the first few."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count a name."""
        self.count += 1
        if self.count <= MOST_NAMED:
            self.first.append(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """Movies of one kind that are not where they should be.

    Attributes
    ----------
    kind
        A word for programs.
    text
        What is wrong, after the number.
    is_alarm
        Something is missing. Otherwise it is told because people should know it.
    """

    kind: str
    text: str
    what_to_do: str
    count: int
    movies: tuple[str, ...] = ()
    is_alarm: bool = True

    def line(self) -> str:
        """Return how many and which they are, and what to do."""
        more = ", …" if self.count > len(self.movies) else ""
        named = f": {', '.join(self.movies)}{more}" if self.movies else ""
        return f"{self.text}{named}; {self.what_to_do}"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "check": self.kind,
            "alarm": self.is_alarm,
            "count": self.count,
            "movies": list(self.movies),
            "text": self.text,
            "what_to_do": self.what_to_do,
        }


def discrepancies(
    kind: str, one: str, several: str, what_to_do: str, movies: Named | Iterable[str], *, is_alarm: bool = True
) -> Iterator[Discrepancy]:
    """Yield the discrepancy of some movies; nothing if there are none.

    Parameters
    ----------
    one, several
        What is wrong with one movie, and with several; `{count}` stands for their number.
    """
    named = movies if isinstance(movies, Named) else _named(movies)
    if named.count:
        text = (one if named.count == 1 else several).format(count=f"{named.count:,}")
        yield Discrepancy(
            kind=kind, text=text, what_to_do=what_to_do, count=named.count, movies=tuple(named.first), is_alarm=is_alarm
        )


def _named(names: Iterable[str]) -> Named:
    named = Named()
    for name in sorted(names):
        named.add(name)
    return named
