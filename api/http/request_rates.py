"""Limits how many requests without a valid token one address may make, and how many one token may make.

Whole institutions share one address behind a proxy or a router. So a request with a token that was valid within the
hour is limited by its token, never by its address; an address that showed a valid token within the hour may always
show another one; and requests without a token use up nothing of what requests with an unknown token may do.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from api.http.refusals import RefusalCounts
from transfer.wire.errors import RateLimited

Key = TypeVar("Key")

REMEMBERED_S = 3600.0
_MOST_REMEMBERED = 10_000  # of addresses and of tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRates:
    """How many requests are answered: so many a second, and so many at once after a pause.

    Attributes
    ----------
    address_per_s, address_at_once
        Without a valid token, from one address (IPv6: one /64 network).
    token_per_s, token_at_once
        With one token.
    """

    address_per_s: float = 20.0
    address_at_once: int = 200
    token_per_s: float = 2000.0
    token_at_once: int = 10_000


class Allowance:
    """Counts what each of many may still do: `at_once` after a pause, and `per_s` in the long run.

    What was not seen for longest is forgotten when there are too many.
    """

    def __init__(self, per_s: float, at_once: int, clock: Callable[[], float]) -> None:
        self._per_s, self._at_once, self._clock = per_s, at_once, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one; return 0, or after how many seconds there will be one."""
        moment = self._clock()
        left, since = self._left.pop(key, (float(self._at_once), moment))
        left = min(float(self._at_once), left + (moment - since) * self._per_s)
        wait_s = max(0.0, (1.0 - left) / self._per_s)
        self._left[key] = (left - 1.0 if not wait_s else left, moment)
        if len(self._left) > _MOST_REMEMBERED:
            self._left.popitem(last=False)
        return wait_s

    def give_back(self, key: str) -> None:
        """Give one back."""
        left, since = self._left.get(key, (float(self._at_once), self._clock()))
        self._left[key] = (min(float(self._at_once), left + 1.0), since)


class RequestLimits:
    """Decides for each request whether it is answered. Used in one event loop only.

    Parameters
    ----------
    refusals
        Where refusals are counted.
    """

    def __init__(
        self,
        refusals: RefusalCounts,
        rates: RequestRates | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        rates = rates or RequestRates()
        self._refusals, self._clock = refusals, clock
        self._of_address = Allowance(rates.address_per_s, rates.address_at_once, clock)
        self._of_token = Allowance(rates.token_per_s, rates.token_at_once, clock)
        self._valid: OrderedDict[bytes, float] = OrderedDict()  # digests of tokens, when they were valid last
        self._known: OrderedDict[str, float] = OrderedDict()  # addresses, when they showed a valid token last

    def admit(self, address: str, token: str) -> None:
        """Count a request before its token is checked.

        Parameters
        ----------
        address
            Of the client, as `network_of` returns it.
        token
            What the request shows as its token; empty: none.

        Raises
        ------
        RateLimited
        """
        name = _name_of(token)
        if token and self._is_recent(self._valid, name):
            wait_s = self._of_token.take(name.hex())
            kind = "requests above the rate of their token"
        elif token and self._is_recent(self._known, address):
            return
        else:
            wait_s = self._of_address.take(_allowance(address, token))
            kind = "requests without a valid token, above the rate of their address"
        if wait_s:
            self._refusals.note(kind, address)
            error = RateLimited(
                f"the receiver does not answer this request now, because there are too many {kind}",
                hint="Wait and try again, as clients of cryoferry do by themselves.",
            )
            error.retry_after_s = math.ceil(wait_s)
            raise error

    def known_token(self, token: str) -> str:
        """Return a name for a token that was valid within the hour; empty for others."""
        name = _name_of(token)
        return name.hex() if token and self._is_recent(self._valid, name) else ""

    def note_valid(self, address: str, token: str) -> None:
        """Note that a request's token was valid."""
        name = _name_of(token)
        if not self._is_recent(self._valid, name) and not self._is_recent(self._known, address):
            self._of_address.give_back(_allowance(address, token))
        _remember(self._valid, name, self._clock())
        _remember(self._known, address, self._clock())

    def note_rejected(self, address: str, token: str) -> None:
        """Note that a request had no valid token."""
        self._valid.pop(_name_of(token), None)
        self._refusals.note("requests without a valid token", address)

    def _is_recent(self, kept: OrderedDict[Key, float], key: Key) -> bool:
        return self._clock() - kept.get(key, float("-inf")) < REMEMBERED_S


def _remember(kept: OrderedDict[Key, float], key: Key, moment: float) -> None:
    kept.pop(key, None)
    kept[key] = moment
    if len(kept) > _MOST_REMEMBERED:
        kept.popitem(last=False)


def _allowance(address: str, token: str) -> str:
    """Return a name: requests without a token use up nothing of what requests with an unknown token may do."""
    return f"{address} {'with' if token.startswith('cf_') else 'without'} a token"


def _name_of(token: str) -> bytes:
    return hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=16).digest()
