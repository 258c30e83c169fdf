"""One record of the log is one line, whatever its message holds; a traceback cannot look like a record."""

from __future__ import annotations

import logging
import sys

from transfer.terminal.log_lines import LOG_FORMAT, PrintableFormatter


def record(message: str, error: BaseException | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("agents", logging.WARNING, "x.py", 1, "%s", (message,), info)


def test_a_message_is_one_line_that_controls_nothing() -> None:
    text = PrintableFormatter(LOG_FORMAT).format(record("a.tiff\n2026-11-29 ERROR forged\x1b[2J\u202e"))
    assert "\n" not in text
    assert text.endswith(r"a.tiff\n2026-11-29 ERROR forged\x1b[2J\u202e")


def test_no_line_of_a_traceback_begins_like_a_record() -> None:
    try:
        raise ValueError("no\x1b[2J\n2026-11-29 ERROR forged")
    except ValueError:
        shown = PrintableFormatter(LOG_FORMAT).format(record("failed", sys.exc_info()[1]))
    first, *rest = shown.split("\n")
    assert first.endswith("failed")
    assert all(line.startswith("  ") and line.isprintable() for line in rest)
    assert rest[-1] == "  2026-11-29 ERROR forged"
