r"""The text of a file's name: what UTF-8 cannot express, or a terminal would obey, is written as `\xE9`.

A name on disk is any bytes. Python holds those that are no UTF-8 as lone surrogates, which no file of ours, no database
and no terminal takes. Their text is reversible: each such byte is `\x` and two upper-case hexadecimal digits, and so is
each byte of a control character, of a line separator and of a mark that turns the direction of writing. A backslash
that would read as the beginning of such an escape is written as `\x5C`. Every other name is its own text.
"""

from __future__ import annotations

import re

_NOT_UTF8 = "\ud800-\udfff"
_OBEYED = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_UNSAFE = re.compile(rf"[{_NOT_UTF8}{_OBEYED}]|\\(?=x[0-9A-F]{{2}})")
_FOR_TERMINAL = re.compile(rf"[{_NOT_UTF8}{_OBEYED}]")
_UNENCODABLE = re.compile(f"[{_NOT_UTF8}]")
_ESCAPE = re.compile(rb"\\x([0-9A-F]{2})")


def escaped(name: str) -> str:
    """Return the text of a name or path, as Python holds it."""
    if name.isascii() and name.isprintable() and "\\" not in name:
        return name
    return _UNSAFE.sub(_bytes_of, name)


def unescaped(text: str) -> str:
    """Return the name or path, as Python holds it, whose text this is."""
    if "\\x" not in text:
        return text
    encoded = text.encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), encoded).decode("utf-8", "surrogateescape")


def encodable(text: str) -> str:
    """Return a message with the escapes of those bytes alone that are no UTF-8; such come from names in it."""
    return _UNENCODABLE.sub(_bytes_of, text)


def for_terminal(text: str) -> str:
    """Return a line with the escapes of all that a terminal would obey; names in it may be escaped already."""
    return text if text.isprintable() else _FOR_TERMINAL.sub(_bytes_of, text)


def _bytes_of(found: re.Match[str]) -> str:
    is_byte = "\udc80" <= found[0] <= "\udcff"
    encoded = found[0].encode("utf-8", "surrogateescape" if is_byte else "surrogatepass")
    return "".join(f"\\x{byte:02X}" for byte in encoded)
