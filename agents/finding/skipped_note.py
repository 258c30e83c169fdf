"""What a scan leaves out: how many by reason, and a few of their names. The journal keeps it for `cryoferry status`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from agents.finding.links import Why

SKIPPED = "skipped"
"""The journal's note of what the last scan left out."""
MOST_EXAMPLES = 5
_MOST_REASONS = 6
_HINTS = {Why.OUTSIDE: "give --follow-links to follow it", Why.DANGLING: "it is followed once its target is there"}


@dataclass(slots=True)
class Skipped:
    """Files and folders that are left out.

    Attributes
    ----------
    counts
        How many, by reason.
    examples
        Names of at most `MOST_EXAMPLES` of them, by reason.
    """

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, *names: str) -> None:
        """Count files that are left out for one reason."""
        self._take_in(reason, len(names), names)

    def take_in(self, other: Skipped) -> None:
        """Count what is left out elsewhere, too."""
        for reason, count in other.counts.items():
            self._take_in(reason, count, other.examples[reason])

    def _take_in(self, reason: str, count: int, names: Iterable[str]) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + count
        examples = self.examples.setdefault(reason, [])
        examples += islice(names, MOST_EXAMPLES - len(examples))

    def as_json(self) -> dict[str, dict[str, object]]:
        """Return an object of `count` and `examples` for each reason."""
        return {
            reason: {"count": self.counts[reason], "examples": sorted(self.examples[reason])}
            for reason in sorted(self.counts)
        }

    def in_short(self) -> str:
        """Return one line for people, with what to do."""
        return counts_text(self.counts, most=_MOST_REASONS, with_hints=True)


def from_note(noted: str | None) -> Skipped:
    """Return what was left out from what the journal keeps, `Skipped.as_json` as text; nothing if no scan has ended."""
    skipped = Skipped()
    for reason, each in json.loads(noted or "{}").items():
        if isinstance(each, dict) and {"count", "examples"} <= each.keys():  # an older version noted it otherwise
            skipped.counts[reason], skipped.examples[reason] = each["count"], each["examples"]
    return skipped


def counts_text(counts: Mapping[str, int], *, most: int | None = None, with_hints: bool = False) -> str:
    """Return how many files were skipped for which reasons, the most frequent first.

    Parameters
    ----------
    most
        So many reasons are named at most, before the others those that a person should know; None: all.
    """
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    left: list[tuple[str, int]] = []
    if most is not None and len(by_count) > most:
        by_count.sort(key=lambda item: _is_ordinary(item[0]))
        by_count, left = by_count[:most], by_count[most:]
    parts = [f"{count:,} × {why}{_in_brackets(_hint(why)) if with_hints else ''}" for why, count in by_count]
    if left:
        parts.append(f"{sum(count for _, count in left):,} for other reasons")
    return "; ".join(parts) or "nothing"


def skipped_text(path: str, why: str, target: str = "") -> str:
    """Return what was skipped, why, and what to do."""
    leads = f" -> {target}" if target else ""
    return f"{path}{leads}: {why}{f'; {_hint(why)}' if _hint(why) else ''}"


def _hint(reason: str) -> str:
    return next((text for why, text in _HINTS.items() if why == reason), "")


def _is_ordinary(reason: str) -> bool:
    """Return whether files that are left out for this reason belong to most sessions."""
    return reason not in [*Why] and not reason.startswith("cannot be read")


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""
