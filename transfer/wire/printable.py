r"""Makes any text safe for a terminal and a log: names of files, texts of a receiver, messages of other programs.

A control character, a mark that changes the direction of writing, a character that shows nothing and half of a pair
(a byte of a name that is no UTF-8) are written as an escape, such as `\x1b` or `\u202e`. All other characters stay.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text for one line; a line feed in it is escaped too."""
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_lines(text: str) -> str:
    """Return a text that may have several lines and tabs; all else is escaped."""
    if text.isprintable():
        return text
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def _shown(mark: str) -> str:
    if mark.isprintable():
        return mark
    number = ord(mark)
    if number < 0x20:
        return _NAMED.get(mark, f"\\x{number:02x}")
    # In JSON, these characters may stand as they are, and \x is unknown: \u keeps it JSON.
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
