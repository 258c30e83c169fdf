"""Makes stdout and stderr of this process escape what could control a terminal, whoever writes to them."""

from __future__ import annotations

import io
import sys
from typing import TextIO

from transfer.wire.printable import printable_lines


class PrintableStream(io.TextIOWrapper):
    """Writes to the same place as another stream, with what could control a terminal escaped.

    Parameters
    ----------
    raw
        The other stream; it stays open.

    Attributes
    ----------
    rich_proxied_file
        The other stream. rich writes there: it moves the cursor and sets colours. `PlainConsole` escapes its texts.
    """

    def __init__(self, raw: io.TextIOWrapper) -> None:
        super().__init__(
            raw.buffer,
            encoding=raw.encoding,
            errors="backslashreplace",
            newline="\n",
            line_buffering=raw.line_buffering,
            write_through=True,  # rich writes to the same place: the order must stay
        )
        self.rich_proxied_file: TextIO = raw

    def write(self, text: str, /) -> int:
        """Write a text, escaped."""
        super().write(printable_lines(text))
        return len(text)

    def close(self) -> None:
        """Write what is not written yet; the place itself belongs to the other stream."""
        self.flush()


def escape_outputs() -> None:
    """Escape what is written to stdout and stderr from now on."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, PrintableStream):
            stream.reconfigure(errors="backslashreplace")
            setattr(sys, name, PrintableStream(stream))
