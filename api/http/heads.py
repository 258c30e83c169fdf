"""What the receiver requires of the head of a request, beyond what the HTTP parser checks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

MAX_TARGET_BYTES = 8 << 10
MAX_FIELDS = 100

_HOST = re.compile(rb"[A-Za-z0-9._~:\[\]%!$&'()*+,;=-]*")
_TARGET = re.compile(rb"/[\x21-\x7e]*")
_ONCE = frozenset((b"host", b"content-length", b"transfer-encoding", b"authorization", b"content-range", b"expect"))


class HeadFault(NamedTuple):
    """Why a head is refused."""

    status: int
    text: str


def fault_of_head(version: str, target: bytes, fields: Iterable[tuple[bytes, bytes]]) -> HeadFault | None:
    """Return why a request's head is refused; None: it is in order.

    Parameters
    ----------
    version
        Of HTTP, such as "1.1".
    target
        What the request is for, as it was sent.
    fields
        Names in lower case, and values.
    """
    if version not in ("1.0", "1.1"):
        return HeadFault(505, "The receiver speaks HTTP/1.1.")
    if not _TARGET.fullmatch(target):
        return HeadFault(400, "The request's target is not a path of this receiver.")
    once: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in _ONCE:
            if name in once:
                return HeadFault(400, f"The request has two header fields {name.decode('ascii').title()}.")
            once[name] = value
    return _fault_of_fields(version, once)


def _fault_of_fields(version: str, once: dict[bytes, bytes]) -> HeadFault | None:
    host, length, coding = once.get(b"host"), once.get(b"content-length"), once.get(b"transfer-encoding")
    if (host is None and version == "1.1") or (host is not None and not _HOST.fullmatch(host)):
        return HeadFault(400, "The request has no valid header field Host.")
    if length is not None and (coding is not None or not length.isdigit() or len(length) > 18):
        return HeadFault(400, "The length of the request's body is not clear.")
    if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
        return HeadFault(501, "The receiver knows no transfer coding but chunked, and that only in HTTP/1.1.")
    if once.get(b"expect", b"100-continue").lower() != b"100-continue":
        return HeadFault(417, "The receiver knows no expectation but 100-continue.")
    return None
