"""Says what the scan leaves out: in the log at the start and when it changes, and as a note for `status`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from agents.finding.scan import Scan
from agents.finding.skipped_note import SKIPPED, counts_text, skipped_text
from agents.journal.journal import Journal

log = logging.getLogger(__name__)

MOST_NAMED = 20


class SkippedFiles:
    """Remembers what was said about files that the scan left out.

    What an earlier agent noted stays in the journal until the first scan of this one has ended.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._named: dict[str, str] = {}
        self._reasons: set[str] = set()
        self._noted = journal.about(SKIPPED)

    def take_in(self, found: Scan, unrecorded: Mapping[str, str]) -> None:
        """Say what is new of the files that a scan left out, and note all of them."""
        named = {**found.skipped_by_name(), **unrecorded}
        new = [path for path in named if self._named.get(path) != named[path]]
        for path in new[:MOST_NAMED]:
            log.warning("skipped: %s", skipped_text(path, named[path], found.targets.get(path, "")))
        if len(new) > MOST_NAMED:
            log.warning("skipped: %d more; `cryoferry status` counts them by reason", len(new) - MOST_NAMED)
        skipped = found.all_skipped(unrecorded)
        if new or self._named.keys() - named.keys() or skipped.counts.keys() - self._reasons:
            log.info("skipped in the source: %s", counts_text(skipped.counts))
        self._named, self._reasons = named, self._reasons | skipped.counts.keys()
        self._note(json.dumps(skipped.as_json()))

    def _note(self, noted: str) -> None:
        if noted != self._noted:
            self._journal.note(**{SKIPPED: noted})
            self._noted = noted
