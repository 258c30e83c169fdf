"""Says what the scan leaves out: in the log at the start and when it changes, and as a note for `status`."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping

from agents.finding.links import Why
from agents.finding.scan import Scan
from agents.journal.journal import Journal

log = logging.getLogger(__name__)

SKIPPED = "skipped"
"""The journal's note of what the last scan left out: JSON with `counts` by reason, and some of the `named` ones."""
MOST_NAMED = 20
_HINTS = {Why.OUTSIDE: "give --follow-links to follow it", Why.DANGLING: "it is followed once its target is there"}


class SkippedFiles:
    """Remembers what was said about files that the scan left out."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._named: dict[str, str] = {}
        self._reasons: set[str] = set()
        self._noted = journal.about(SKIPPED)

    def take_in(self, found: Scan, unrecorded: Mapping[str, str]) -> None:
        """Say what is new of the files that a scan left out, and note all of them."""
        unreadable = {path: f"cannot be read: {why}" for path, why in found.unreadable.items()}
        named = {**found.named, **unreadable, **unrecorded}
        new = [path for path in named if self._named.get(path) != named[path]]
        for path in new[:MOST_NAMED]:
            log.warning("skipped: %s", skipped_text(path, named[path], found.targets.get(path, "")))
        if len(new) > MOST_NAMED:
            log.warning("skipped: %d more; `cryoferry status` counts them by reason", len(new) - MOST_NAMED)
        counts = Counter(found.skipped)
        counts.update(unrecorded.values())
        if new or self._named.keys() - named.keys() or counts.keys() - self._reasons:
            log.info("skipped in the source: %s", counts_text(counts))
        self._named, self._reasons = named, self._reasons | counts.keys()
        self._note(counts, named, found.targets)

    def _note(self, counts: Mapping[str, int], named: Mapping[str, str], targets: Mapping[str, str]) -> None:
        some = sorted(named)[:MOST_NAMED]
        listed = [{"path": path, "reason": named[path], "target": targets.get(path, "")} for path in some]
        noted = json.dumps({"counts": dict(sorted(counts.items())), "named": listed})
        if noted != self._noted:
            self._journal.note(**{SKIPPED: noted})
            self._noted = noted


def counts_text(counts: Mapping[str, int]) -> str:
    """Return how many files were skipped for which reasons, the most frequent first."""
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return "; ".join(f"{count:,} × {why}" for why, count in by_count) or "nothing"


def skipped_text(path: str, why: str, target: str = "") -> str:
    """Return what was skipped, why, and what to do."""
    leads = f" -> {target}" if target else ""
    hint = next((f"; {hint}" for reason, hint in _HINTS.items() if reason == why), "")
    return f"{path}{leads}: {why}{hint}"
