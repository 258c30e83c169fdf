"""What the documents for archives share: how values that are not known are left out and named."""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeVar

T = TypeVar("T")


class Gaps:
    """What one document asks for and nobody gave, in the words of the metadata file."""

    def __init__(self, document: str) -> None:
        self._document = document
        self._found: list[str] = []

    def need(self, field: str, value: T | None) -> T | None:
        """Return a value that the document requires; note the field that gives it if there is none."""
        if value is None or value in ((), "", []):
            self._found.append(f"{self._document}: {field}")
        return value

    @property
    def lines(self) -> tuple[str, ...]:
        """Return a line for each, without doubles."""
        return tuple(dict.fromkeys(self._found))


def usual(values: Counter[T]) -> T | None:
    """Return the value that most exposures have; None: there is none."""
    return values.most_common(1)[0][0] if values else None


def only_known(value: Any) -> Any:
    """Return a document without values that are None, and without sections and lists that are empty then."""
    if isinstance(value, dict):
        known = {key: only_known(each) for key, each in value.items()}
        return {key: each for key, each in known.items() if each not in (None, {}, [])}
    if isinstance(value, list | tuple):
        return [only_known(each) for each in value]
    return value
