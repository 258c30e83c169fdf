"""Reads JSON, and refuses values that a database, or another reader of the same JSON, could not take.

Python reads more than JSON: NaN and Infinity, numbers that overflow to infinity, integers of any length, halves of
surrogate pairs. PostgreSQL takes no text with a NUL.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

from fastapi import Request

from transfer.wire.errors import BadValue, TooLarge

_LEAST_INTEGER, _GREATEST_INTEGER = -(2**63), 2**63 - 1
_MOST_DIGITS = 20
MOST_VALUES = 1 << 17
"""In one body. A value takes up to 50 times the memory of its text: 4 MB of `{}` become 100."""

_SHOWN_PLACE = 200  # characters of a place, in an answer

_NO_NUMBER = "the number at {} is not finite, or is an integer beyond 64 bits"
_NO_TEXT = "the text at {} has a NUL or half a surrogate pair"
_NO_NAME = "the text of a name in the object at {} has a NUL or half a surrogate pair"
_REFUSED_LETTER = re.compile("[\0\ud800-\udfff]")


class _Scalars:
    """Reads numbers, and remembers whether one of them is to be refused."""

    found = False

    def constant(self, text: str) -> float:
        self.found = True
        return float(text)

    def integer(self, text: str) -> int | float:
        number = int(text) if len(text) <= _MOST_DIGITS else math.inf
        if not _LEAST_INTEGER <= number <= _GREATEST_INTEGER:
            self.found = True
            return math.inf
        return number

    def real(self, text: str) -> float:
        number = float(text)
        self.found = self.found or math.isinf(number)
        return number


def read_json(body: bytes) -> Any:
    """Return the value of a JSON text in UTF-8.

    Raises
    ------
    BadValue
        It has a number that is not finite or an integer beyond 64 bits, text with a NUL or half a surrogate pair, or
        is nested too deeply.
    TooLarge
        It has more than `MOST_VALUES` values.
    ValueError
        It is no JSON.
    """
    scalars = _Scalars()
    if b"\0" in body:
        raise BadValue("the body has a NUL, which is not JSON in UTF-8")
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > MOST_VALUES:
        raise TooLarge(
            f"the body of this request has more than {MOST_VALUES:,} values, or as many commas and brackets",
            hint="Send less in one request.",
        )
    try:
        value = json.loads(body, parse_constant=scalars.constant, parse_int=scalars.integer, parse_float=scalars.real)
        # Only these bytes can become a NUL or half a surrogate pair.
        if scalars.found or b"\\u" in body or b"\xed" in body:
            _refuse_in(value)
    except RecursionError as error:
        raise BadValue("the body's JSON is nested too deeply") from error
    return value


def _refuse_in(value: Any) -> None:
    wrong = _first_wrong(value)
    if wrong is not None:
        place = "".join(reversed(wrong.steps)).removeprefix(".")
        raise BadValue(wrong.text.format(place[:_SHOWN_PLACE] or "the beginning"))


class _Wrong(NamedTuple):
    """A value that is refused: the text about it, and the steps that lead to it, the last one first.

    The steps are put together only here: the place of each value of a large body would take hours.
    """

    text: str
    steps: list[str]


def _first_wrong(value: Any) -> _Wrong | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else _Wrong(_NO_NUMBER, [])
    if isinstance(value, str):
        return _Wrong(_NO_TEXT, []) if _REFUSED_LETTER.search(value) else None
    if isinstance(value, list):
        for number, item in enumerate(value):
            if (wrong := _first_wrong(item)) is not None:
                wrong.steps.append(f"[{number}]")
                return wrong
    if isinstance(value, dict):
        for name, item in value.items():
            if _first_wrong(name) is not None:
                return _Wrong(_NO_NAME, [])
            if (wrong := _first_wrong(item)) is not None:
                wrong.steps.append(f".{name[:_SHOWN_PLACE]}")
                return wrong
    return None


class JsonRequest(Request):
    """A request whose `json` refuses what `read_json` refuses."""

    _value: Any = None
    _was_read = False

    async def check(self) -> None:
        """Read the body, so that a value that is refused is answered as such; what is no JSON is left to FastAPI.

        Raises
        ------
        BadValue, TooLarge
        """
        try:
            self._value = read_json(await self.body())
            self._was_read = True
        except ValueError:
            pass

    async def json(self) -> Any:
        """Return the value of the body.

        Raises
        ------
        ValueError
        """
        return self._value if self._was_read else read_json(await self.body())
