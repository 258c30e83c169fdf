"""Checks that a compiled library is whole before it is loaded.

The system maps a library into memory without reading it. Where the file is shorter than its own tables say, the process
is killed by a bus error when it reaches what is missing, and nobody learns why.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # of 64-bit ELF, little-endian
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_64_BIT_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
_LOADED = 1
_TABLE_OF_NAMES = 3
_NO_CONTENT = 8


class _ElfTables(NamedTuple):
    segments_at: int
    sections_at: int
    segments: int
    sections: int
    names: int
    """Index of the section with the names of all sections."""


def why_not_whole(library: Path) -> str:
    """Return why a library must not be loaded; an empty text if it may.

    Only 64-bit ELF files are looked into, which Linux uses on every processor that matters here. Others are left to the
    system's own loader.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    content = library.read_bytes()
    if not content.strip(b"\0"):
        return f"{library.name} is empty"
    if not content.startswith(_64_BIT_LITTLE_ENDIAN):
        return ""
    try:
        needed = _bytes_needed(content, _tables_of(content))
    except struct.error:  # a table lies beyond the end
        return f"{library.name} is truncated: it has {len(content)} bytes"
    if needed > len(content):
        return f"{library.name} is truncated: it has {len(content)} bytes of {needed}"
    if needed < 0:
        return f"{library.name} is damaged: its end was never written"
    return ""


def _tables_of(content: bytes) -> _ElfTables:
    fields = _HEADER.unpack_from(content)
    return _ElfTables(
        segments_at=fields[5], sections_at=fields[6], segments=fields[10], sections=fields[12], names=fields[13]
    )


def _bytes_needed(content: bytes, tables: _ElfTables) -> int:
    """Return how long the file must be; -1 if what its end holds is no table of sections, as after a power cut."""
    segments = [_SEGMENT.unpack_from(content, tables.segments_at + n * _SEGMENT.size) for n in range(tables.segments)]
    ends: list[int] = [offset + size for kind, _, offset, _, _, size, *_ in segments if kind == _LOADED]
    if tables.sections_at:
        ends.append(tables.sections_at + tables.sections * _SECTION.size)
    if not tables.sections_at or ends[-1] > len(content):
        return max(ends, default=0)
    sections = [_SECTION.unpack_from(content, tables.sections_at + n * _SECTION.size) for n in range(tables.sections)]
    if sections[tables.names][1] != _TABLE_OF_NAMES:
        return -1
    ends += [offset + size for _, kind, _, _, offset, size, *_ in sections if kind != _NO_CONTENT]
    return max(ends)
