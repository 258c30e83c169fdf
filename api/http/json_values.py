"""Reads JSON, and refuses values that a database, or another reader of the same JSON, could not take.

Python reads more than JSON: NaN and Infinity, numbers that overflow to infinity, integers of any length, halves of
surrogate pairs. PostgreSQL takes no text with a NUL.
"""

from __future__ import annotations

import json
import math
from typing import Any

from fastapi import Request

from transfer.wire.errors import BadValue

_LEAST_INTEGER, _GREATEST_INTEGER = -(2**63), 2**63 - 1
_MOST_DIGITS = 20


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
    ValueError
        It is no JSON.
    """
    scalars = _Scalars()
    if b"\0" in body:
        raise BadValue("the body has a NUL, which is not JSON in UTF-8")
    try:
        value = json.loads(body, parse_constant=scalars.constant, parse_int=scalars.integer, parse_float=scalars.real)
        # Only these bytes can become a NUL or half a surrogate pair.
        if scalars.found or b"\\u" in body or b"\xed" in body:
            _refuse_in(value, "")
    except RecursionError as error:
        raise BadValue("the body's JSON is nested too deeply") from error
    return value


def _refuse_in(value: Any, place: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise BadValue(f"the number at {place or 'the beginning'} is not finite, or is an integer beyond 64 bits")
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
        raise BadValue(f"the text at {place or 'the beginning'} has a NUL or half a surrogate pair")
    if isinstance(value, list):
        for number, item in enumerate(value):
            _refuse_in(item, f"{place}[{number}]")
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_in(name, f"a name in {place or 'the outermost object'}")
            _refuse_in(item, f"{place}.{name}" if place else name)


class JsonRequest(Request):
    """A request whose `json` refuses what `read_json` refuses."""

    _value: Any = None
    _was_read = False

    async def check(self) -> None:
        """Read the body, so that a value that is refused is answered as such; what is no JSON is left to FastAPI.

        Raises
        ------
        BadValue
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
