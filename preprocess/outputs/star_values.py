"""Writes names as values of a STAR file, which end at a blank and have marks of their own; and reads them."""

from __future__ import annotations

import re

_MARKS = ("#", "_", "$", "[", "]", ";", "'", '"', "data_", "loop_", "save_", "stop_", "global_")
"""What begins something else than a value."""
_LINE_ENDS = {ord("\n"): r"\x0A", ord("\r"): r"\x0D"}


def star_value(name: str) -> str:
    r"""Return a name as one value: in quotes if it holds a blank, or begins as something else does.

    The quotation marks are those that the name does not hold. The double ones of a name that holds both are written as
    `\x22`; so are line ends, as `\x0A`.
    """
    name = name.translate(_LINE_ENDS)
    if name and not any(mark.isspace() for mark in name) and not name.lower().startswith(_MARKS):
        return name
    if '"' not in name:
        return f'"{name}"'
    if "'" not in name:
        return f"'{name}'"
    return '"{}"'.format(name.replace('"', r"\x22"))


_VALUE = re.compile(r"""(?:^|(?<=\s))(?:"(.*?)"|'(.*?)'|(\S+))(?=\s|$)""")


def values_of(line: str) -> list[str]:
    """Return the values of one row of a table, as names were before `star_value` wrote them."""
    escapes = {r"\x0A": "\n", r"\x22": '"'}
    found = ["".join(groups) for groups in _VALUE.findall(line)]
    return [re.sub(r"\\x0A|\\x22", lambda escape: escapes[escape[0]], value) for value in found]
