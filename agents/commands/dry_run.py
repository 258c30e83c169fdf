"""Tells what `cryoferry watch` would do with each file that is in the source now: `--dry-run`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.commands.watch_run import real_source, source_unreadable
from agents.finding.scan import Scan
from agents.finding.skipped_note import counts_text, skipped_text
from agents.journal.file_identity import FileIdentity
from agents.journal.movie_names import movie_path, relative_path
from agents.share.reader import ShareReader
from agents.share_errors import ShareSilent
from preprocess.commands.plan_report import PlanPrinter, Row, plan_object, plan_rows
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.layouts import Layout
from preprocess.movie_plan import MoviePlan
from transfer.terminal.console import PlainConsole
from transfer.wire.errors import SourceUnreadable
from transfer.wire.printable import printable
from transfer.wire.remote_names import remote_path

ALIGN, WAIT, HOLD, FAIL = "align and send", "wait", "hold", "fail"


def dry_run(
    source: Path,
    layout: Layout,
    chosen: ChosenAlignment,
    *,
    gain_wait_s: float,
    follow_links: bool,
    share_timeout_s: float,
    as_json: bool,
) -> None:
    """Print what would be done with each file that is in the source now.

    Parameters
    ----------
    gain_wait_s
        How long a movie would wait for a gain reference that it needs, in seconds.

    Raises
    ------
    SourceUnreadable
        The source cannot be read, or does not answer any more.
    """
    count, printer = Counter[str](), PlanPrinter()
    with closing(ShareReader(source, layout, follow_links=follow_links, silence_s=share_timeout_s)) as share:
        real_source(share, source)
        try:
            found = share.scan_all()
            programs = _programs(found, layout)
            for movie, identity in sorted(found.movies.items()):
                planned = _planned(share, source, movie, chosen, gain_wait_s)
                count[planned.would] += 1
                if as_json:
                    _print_object({**planned.as_object(movie, identity), "layout": programs[movie]})
                else:
                    printer.print(*planned.as_text(movie, programs[movie]))
        except OSError as error:
            raise source_unreadable(source, error) from error
    if found.missing_root:
        raise SourceUnreadable(f"the source cannot be read: {found.missing_root}")
    _show_skipped(found, as_json=as_json)
    _show_counts(count, sum(found.all_skipped().counts.values()))


@dataclass(frozen=True, slots=True)
class _PlannedMovie:
    """What would be done with a movie, why if it is not aligned at once, and all that is known about it."""

    would: str
    reason: str = ""
    hint: str = ""
    plan: MoviePlan | None = None

    def as_object(self, movie: str, identity: FileIdentity) -> dict[str, Any]:
        return {
            "movie": movie,
            "would": self.would,
            "reason": self.reason,
            "size_bytes": identity.size_bytes,
            "gain": None,
            **({} if self.plan is None else plan_object(self.plan)),
            "remote_stem": remote_path(str(Path(relative_path(movie)).with_suffix(""))),
        }

    def as_text(self, movie: str, layout: str) -> tuple[str, str, list[Row]]:
        rows: list[Row] = [("layout", layout or "of no known program")]
        if self.plan is not None:
            rows += [row for row in plan_rows(self.plan) if row[0] not in ("problem", "what to do")]
        rows += [("because", self.reason)] if self.reason else []
        rows += [("what to do", self.hint)] if self.hint else []
        return f"would {self.would}: {printable(movie)}", relative_path(movie), rows


def _planned(
    share: ShareReader, source: Path, movie: str, chosen: ChosenAlignment, gain_wait_s: float
) -> _PlannedMovie:
    path = movie_path(source, movie)
    try:
        missing = share.missing_structure(path)
        if missing is not None:
            return _PlannedMovie(WAIT, missing)
        plan = share.plan(path, chosen)
    except ShareSilent:
        raise
    except OSError as error:
        return _PlannedMovie(WAIT, f"it cannot be read now: {error.strerror or error}")
    except RuntimeError as error:
        return _PlannedMovie(WAIT, f"its structure cannot be read: {error}")
    if plan.problems:
        problem = plan.problems[0]
        reason = "; ".join(each.text.removeprefix(f"{path}: ") for each in plan.problems)
        return _PlannedMovie(HOLD if problem.is_for_person else FAIL, reason, problem.hint, plan)
    return _waiting_for_gain(plan, gain_wait_s) or _PlannedMovie(ALIGN, plan=plan)


def _waiting_for_gain(plan: MoviePlan, gain_wait_s: float) -> _PlannedMovie | None:
    """Return that a movie would wait for its gain reference; None: it would not."""
    if plan.awaited_gain is not None:
        return _PlannedMovie(
            WAIT, f"its metadata name the gain reference {plan.awaited_gain}, which is not there", "", plan
        )
    if gain_wait_s > 0 and plan.misses_gain:
        reason = f"it needs a gain reference, and would wait for it for up to {gain_wait_s:g} s"
        return _PlannedMovie(WAIT, reason, "Give --gain FILE, or --gain none if there is none.", plan)
    return None


def _programs(found: Scan, layout: Layout) -> dict[str, str]:
    """Return by which layout's rules each file is a movie; "" where `auto` knows no program that gives such names."""
    folders: dict[str, set[str]] = {}
    for path in (*found.movies, *found.others):
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, set()).add(name)
    return {
        movie: layout.program_of(movie.rpartition("/")[2], folders[movie.rpartition("/")[0]]) for movie in found.movies
    }


def _show_skipped(found: Scan, *, as_json: bool) -> None:
    """Print what would be skipped: for programs all of it, for people what they must know by name, and the counts."""
    named = found.skipped_by_name()
    if as_json:
        for path, why in sorted({**found.others, **named}.items()):
            _print_object({"movie": path, "would": "skip", "reason": why})
        return
    for path, why in sorted(named.items()):
        sys.stdout.write(f"would skip {skipped_text(path, why, found.targets.get(path, ''))}\n")
    if counts := found.all_skipped().counts:
        sys.stdout.write(f"would skip in all: {counts_text(counts)}\n")


def _show_counts(count: Counter[str], others: int) -> None:
    words = {ALIGN: "would be aligned and sent", WAIT: "would wait", HOLD: "would be held back", FAIL: "would fail"}
    said = ", ".join(f"{count[would]} {word}" for would, word in words.items() if count[would])
    console = PlainConsole(stderr=True, soft_wrap=True)
    movies = f"{count.total()} movies" + (f" ({said})" if said else "")
    console.print(f"{movies}, {others} other files; nothing was done.", markup=False)


def _print_object(item: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(item) + "\n")
