"""Formats log records so that one record cannot look like two, and cannot control a terminal."""

from __future__ import annotations

import logging
import sys
from types import TracebackType

from transfer.wire.printable import printable

LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class PrintableFormatter(logging.Formatter):
    """A formatter that escapes messages. Lines of tracebacks are indented, so that none looks like a record."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """Return the record's line."""
        return printable(super().formatMessage(record))

    def formatException(  # noqa: N802  # logging's name
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        """Return a traceback."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  # logging's name
        """Return a stack."""
        return _indented(super().formatStack(stack_info))


def log_to_stderr(level: int = logging.INFO) -> None:
    """Have this process write its log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter(LOG_FORMAT))
    logging.basicConfig(level=level, handlers=[handler])


def _indented(text: str) -> str:
    return "\n".join(f"  {printable(line)}" for line in text.split("\n"))
