"""Names of files on the receiver, made from names of any kind: deterministic, and never two from different ones.

What `transfer.wire.names` does not permit is written as `=XX`, the two upper-case hexadecimal digits of each of its
UTF-8 bytes, and so is `=` itself. A part too long for a file system keeps its beginning and ends in `==` and a digest.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable

from blake3 import blake3

from transfer.wire.errors import BadName
from transfer.wire.names import check_path

_LONGEST_PART_BYTES = 200  # of 255: outputs add a suffix to the stem
_FORBIDDEN = re.compile(r"[^\w .+@#(),-]")
_FORBIDDEN_OR_NOT_ASCII = re.compile(r"[^A-Za-z0-9_ .+@#(),-]")
_EDGE = re.compile(r"^[ .]|[ .]$")


def remote_path(path: str) -> str:
    """Return the path on the receiver of a movie's path relative to the source (`/` between folders)."""
    return "/".join(_part(part) for part in path.split("/"))


def sent_path(path: str, check_name: Callable[[str], str] = check_path) -> str:
    """Return the path under which a file is sent: parts that are permitted stay as they are, `=` in them too.

    Parameters
    ----------
    check_name
        Raises BadName for a part that is not permitted.
    """
    return "/".join(_sent_part(part, check_name) for part in path.split("/"))


def _sent_part(part: str, check_name: Callable[[str], str]) -> str:
    try:
        return check_name(part)
    except BadName:
        return _part(part)


def _part(part: str) -> str:
    forbidden = _FORBIDDEN if unicodedata.is_normalized("NFC", part) else _FORBIDDEN_OR_NOT_ASCII
    name = _EDGE.sub(_escaped, forbidden.sub(_escaped, part))
    try:
        check_path(name)
    except BadName:  # such as `con` or `-x`: escaping the first character is enough
        name = _bytes_escaped(name[0]) + name[1:]
    encoded = name.encode()
    if len(encoded) > _LONGEST_PART_BYTES:
        kept = encoded[: _LONGEST_PART_BYTES - 34].decode(errors="ignore")
        name = f"{kept}=={blake3(os.fsencode(part)).hexdigest(length=16)}"
    return name


def _escaped(match: re.Match[str]) -> str:
    return _bytes_escaped(match[0])


def _bytes_escaped(text: str) -> str:
    return "".join(f"={byte:02X}" for byte in os.fsencode(text))
