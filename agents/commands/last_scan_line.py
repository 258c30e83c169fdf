"""Says at an agent's end whether its journal has every movie of its last scan."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agents.journal.opening import JOURNAL_ERRORS
from transfer.wire.printable import printable

if TYPE_CHECKING:
    from agents.finding.discovery import Discovery

log = logging.getLogger("agents")

_MOST_NAMED = 10


def last_scan_line(discovery: Discovery) -> str:
    """Return the line, and log an alarm if movies are missing; empty: nothing is known to compare."""
    try:
        last = discovery.last_scan()
    except JOURNAL_ERRORS:  # the disk of the work folder has failed; the log said so
        return ""
    if last is None:
        missing = discovery.source_missing
        return f"source: what lies there was not compared with the journal: {missing}" if missing else ""
    looked_at = f"source: the last scan looked at {last.looked_at:,} movies"
    if not last.not_entered:
        return f"{looked_at}, and the journal has them all"
    names = ", ".join(map(printable, last.not_entered[:_MOST_NAMED]))
    names += ", …" if len(last.not_entered) > _MOST_NAMED else ""
    text = f"{looked_at}, and the journal does not have {len(last.not_entered):,} of them: {names}"
    log.error("the movies do not add up: %s; run `cryoferry status --check`", text)
    return text
