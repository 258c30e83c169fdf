"""Reads and writes the part of RELION's STAR format that the registrar needs: tables of words without spaces.

The starfile package reads all of the format, but needs pandas, which adds seconds to a receiver's start. The functions
here read only what is written here. A file ends with the last row, so that rows can be appended.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from transfer.disk.files import make_file, sync_descriptor

PAGE_BYTES = 4096
"""What the system makes visible to readers in one step, and writes whole or not at all when the writer is killed."""

USUAL_ROW_BYTES = 512


@dataclass(slots=True)
class StarTable:
    """The columns of a table, and its rows as lines of words."""

    columns: tuple[str, ...]
    lines: list[str] = field(default_factory=list)

    def rows(self) -> list[dict[str, str]]:
        """Return the rows by column."""
        return [dict(zip(self.columns, line.split(), strict=True)) for line in self.lines]


@dataclass(frozen=True, slots=True)
class FileMark:
    """What tells whether somebody else has changed or replaced a file."""

    inode: int
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """Return the mark of a file's status."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


def write_star(path: Path, tables: Mapping[str, tuple[Sequence[str], Iterable[str]]]) -> FileMark:
    """Make or replace a file with tables, each by its columns and its rows as lines; a table without rows is left out.

    Returns the mark with which rows can be appended to the last table.
    """

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.writelines(_text(tables))

    make_file(path, write)
    return FileMark.of(path.stat())


def _text(tables: Mapping[str, tuple[Sequence[str], Iterable[str]]]) -> Iterator[str]:
    yield "# version 30001\n"
    for name, (columns, lines) in tables.items():
        for number, line in enumerate(lines):
            if number == 0:
                yield f"\ndata_{name}\n\nloop_\n"
                yield from (f"_{column} #{position}\n" for position, column in enumerate(columns, 1))
            yield f"{line}\n"


def quoted(text: str) -> str:
    r"""Return a text as one value, in quotation marks where it has spaces or begins as something else does.

    As in an agent's files, line ends stand as `\x0A`, and double marks in a text that has both kinds as `\x22`.
    """
    text = text.replace("\n", r"\x0A").replace("\r", r"\x0D")
    if text.split() == [text] and text[0] not in "#\"'_":
        return text
    if '"' not in text:
        return f'"{text}"'
    return f"'{text}'" if "'" not in text else '"{}"'.format(text.replace('"', r"\x22"))


def append_rows(path: Path, mark: FileMark, lines: Iterable[str]) -> FileMark | None:
    """Append rows to the last table of a file; they are on the disk on return. A reader never sees a part of a row.

    Returns the new mark; None if the file is not as the mark says, and nothing was written.

    Raises
    ------
    OSError
        Some rows may be in the file: replace it.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        return None
    try:
        if FileMark.of(os.fstat(descriptor)) != mark:
            return None
        for piece in pieces(mark.size_bytes, lines):
            if os.write(descriptor, piece) < len(piece):
                raise OSError(f"{path}: the disk took only a part of a row")
        sync_descriptor(descriptor)
        return FileMark.of(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def pieces(offset: int, lines: Iterable[str]) -> Iterator[bytes]:
    """Yield rows as bytes to be written one after the other at the end of a file of `offset` bytes.

    A piece lies in one page and holds whole rows. For that, spaces at the end of a row fill a page that has no room for
    another one; only in front of a row that is longer than usual they stand at its beginning.
    """
    piece = b""
    for line in lines:
        row = line.encode()
        room = PAGE_BYTES - offset % PAGE_BYTES
        if len(row) >= room:
            if piece:
                yield piece
            yield b" " * room
            piece, offset, room = b"", offset + room, PAGE_BYTES
        rest = (room - len(row) - 1) % PAGE_BYTES
        row += b" " * (rest if rest < USUAL_ROW_BYTES else 0) + b"\n"
        piece, offset = piece + row, offset + len(row)
        if offset % PAGE_BYTES == 0 or len(row) > PAGE_BYTES:
            yield piece
            piece = b""
    if piece:
        yield piece


def read_star(path: Path) -> dict[str, StarTable]:
    """Return the tables of a file that was written here, without a last line that a power cut left incomplete."""
    tables: dict[str, StarTable] = {}
    name = ""
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            text = line.strip()
            if not line.endswith("\n"):
                break
            if not text or text.startswith("#") or text == "loop_":
                continue
            if text.startswith("data_"):
                name = text.removeprefix("data_")
                tables[name] = StarTable(())
            elif text.startswith("_"):
                tables[name].columns += (text.split()[0].removeprefix("_"),)
            else:
                tables[name].lines.append(text)
    return tables
