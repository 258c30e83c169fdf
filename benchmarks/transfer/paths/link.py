"""A link as people write it: `1gbit:100ms:0.1%`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from benchmarks.errors import NothingToMeasure

_RATES_BIT_PER_S = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_TIMES_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
LEAST_QUEUE_BYTES = 256_000
MTU_BYTES = 1500
FASTEST_BIT_PER_S = 10e9
_HINT = "Write RATE:ROUND-TRIP:LOSS, such as 1gbit:100ms:0.1%; loss may be left out."


@dataclass(frozen=True, slots=True)
class Link:
    """A link: its rate on the wire, the round-trip time without a queue, and the part of segments lost each way."""

    rate_bit_per_s: float
    round_trip_s: float
    loss: float = 0.0

    @property
    def queue_bytes(self) -> int:
        """What may wait before it: one bandwidth-delay product, as routers of a well-kept network have."""
        return max(LEAST_QUEUE_BYTES, round(self.rate_bit_per_s / 8 * self.round_trip_s))

    def __str__(self) -> str:
        units = (("Gb/s", 1e9), ("Mb/s", 1e6), ("kb/s", 1e3))
        unit, size = next(one for one in units if self.rate_bit_per_s >= one[1])
        loss = f", {self.loss * 100:g} % loss" if self.loss else ", no loss"
        return f"{self.rate_bit_per_s / size:g} {unit}, {self.round_trip_s * 1e3:g} ms{loss}"


def parse_link(text: str) -> Link:
    """Return the link that a text like `1gbit:100ms:0.1%` describes.

    Raises
    ------
    NothingToMeasure
        It describes none.
    """
    parts = text.lower().replace(" ", "").split(":")
    if len(parts) not in (2, 3):
        raise NothingToMeasure(f"{text!r} is no link", hint=_HINT)
    rate = _quantity(parts[0], _RATES_BIT_PER_S, text)
    round_trip = _quantity(parts[1], _TIMES_S, text)
    loss = _quantity(parts[2], {"%": 0.01}, text) if len(parts) == 3 else 0.0
    if not 1e3 <= rate <= FASTEST_BIT_PER_S:
        raise NothingToMeasure(f"{parts[0]}: the emulator does 1 kbit to 10 gbit", hint=_HINT)
    if round_trip > 10 or loss > 0.5:
        raise NothingToMeasure(f"{text!r}: at most 10 s and 50 %", hint=_HINT)
    return Link(rate, round_trip, loss)


def _quantity(text: str, units: dict[str, float], whole: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z%]+)", text)
    if not match or match[2] not in units:
        raise NothingToMeasure(f"{whole!r}: {text or 'nothing'!r} is no number with {', '.join(units)}", hint=_HINT)
    return float(match[1]) * units[match[2]]
