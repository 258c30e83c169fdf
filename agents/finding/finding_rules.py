"""By which rules an agent finds movies, as its journal keeps them: so that `status --check` finds the same ones."""

from __future__ import annotations

import json
from dataclasses import dataclass

from preprocess.layouts import LAYOUTS, Layout

FINDING_RULES = "finding_rules"
"""The journal's note of the rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRules:
    """What decides which files of a source are movies, and how often an agent looks.

    Attributes
    ----------
    scan_s
        Time between two scans, in seconds.
    silence_s
        A source that does not answer for so many seconds hangs.
    """

    layout: Layout
    follow_links: bool = False
    scan_s: float = 5.0
    silence_s: float = 30.0

    def as_note(self) -> str:
        """Return what the journal keeps."""
        patterns = self.layout.patterns
        return json.dumps(
            {
                "layout": self.layout.name,
                "movies": [] if patterns is None else patterns.movies,
                "exclude": [] if patterns is None else patterns.excluded,
                "follow_links": self.follow_links,
                "scan_s": self.scan_s,
                "silence_s": self.silence_s,
            }
        )


def rules_from_note(noted: str | None) -> FindingRules | None:
    """Return the rules that a journal keeps; None: an agent of another version wrote it, which noted none of ours."""
    values = json.loads(noted or "{}")
    layout = LAYOUTS.get(values.get("layout", ""))
    if layout is None:
        return None
    return FindingRules(
        layout=layout.choosing(values["movies"], values["exclude"]),
        follow_links=values["follow_links"],
        scan_s=values["scan_s"],
        silence_s=values["silence_s"],
    )
