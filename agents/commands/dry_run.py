"""Tells what `cryoferry watch` would do with each file that is in the source now: `--dry-run`."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path

from agents.commands.watch_run import real_source, source_unreadable
from agents.finding.movie_inputs import FoundInput, NamedInputs
from agents.finding.scan import Scan
from agents.finding.skipped_note import counts_text, skipped_text
from agents.journal.file_identity import FileIdentity
from agents.journal.inputs import InputKind
from agents.journal.movie_names import movie_path, relative_path
from agents.share.reader import ShareReader
from agents.share_errors import ShareSilent
from preprocess.escaped_names import escaped
from preprocess.layouts import Layout
from transfer.terminal.console import PlainConsole
from transfer.wire.errors import SourceUnreadable
from transfer.wire.printable import printable
from transfer.wire.remote_names import remote_path


def dry_run(
    source: Path, layout: Layout, *, gain: Path | None, follow_links: bool, share_timeout_s: float, as_json: bool
) -> None:
    """Print what would be done with each file that is in the source now.

    Raises
    ------
    SourceUnreadable
        The source cannot be read, or does not answer any more.
    """
    with closing(ShareReader(source, layout, follow_links=follow_links, silence_s=share_timeout_s)) as share:
        real_source(share, source)
        try:
            found = share.scan_all()
            programs = _programs(found, layout)
            for movie, identity in sorted(found.movies.items()):
                _show_plan(_plan(share, source, movie, identity, gain) | programs[movie], as_json=as_json)
        except OSError as error:
            raise source_unreadable(source, error) from error
    if found.missing_root:
        raise SourceUnreadable(f"the source cannot be read: {found.missing_root}")
    _show_skipped(found, as_json=as_json)
    count = sum(found.all_skipped().counts.values())
    console = PlainConsole(stderr=True, soft_wrap=True)
    console.print(f"{len(found.movies)} movies, {count} other files; nothing was done.", markup=False)


def _plan(share: ShareReader, source: Path, movie: str, identity: FileIdentity, gain: Path | None) -> dict[str, object]:
    path = movie_path(source, movie)
    missing = _missing(share, path)
    found = None if gain else _gain_of(share, path)
    chosen_gain = gain or (found.path if found else None)
    return {
        "movie": movie,
        "would": "wait" if missing else "align and send",
        "reason": missing or "",
        "size_bytes": identity.size_bytes,
        "gain": None if chosen_gain is None else escaped(str(chosen_gain)),
        "gain_found_by": found.gain.found_by if found and found.gain else None,
        "remote_stem": remote_path(str(Path(relative_path(movie)).with_suffix(""))),
    }


def _programs(found: Scan, layout: Layout) -> dict[str, dict[str, str]]:
    """Return by which layout's rules each file is a movie; "" where `auto` knows no program that gives such names."""
    folders: dict[str, set[str]] = {}
    for path in (*found.movies, *found.others):
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, set()).add(name)
    return {
        movie: {"layout": layout.program_of(movie.rpartition("/")[2], folders[movie.rpartition("/")[0]])}
        for movie in found.movies
    }


def _show_skipped(found: Scan, *, as_json: bool) -> None:
    """Print what would be skipped: for programs all of it, for people what they must know by name, and the counts."""
    named = found.skipped_by_name()
    if as_json:
        for path, why in sorted({**found.others, **named}.items()):
            _show_plan({"movie": path, "would": "skip", "reason": why}, as_json=True)
        return
    for path, why in sorted(named.items()):
        sys.stdout.write(f"would skip {skipped_text(path, why, found.targets.get(path, ''))}\n")
    if counts := found.all_skipped().counts:
        sys.stdout.write(f"would skip in all: {counts_text(counts)}\n")


def _gain_of(share: ShareReader, movie: Path) -> FoundInput | None:
    return next((each for each in share.inputs(movie, NamedInputs()) if each.kind is InputKind.GAIN), None)


def _missing(share: ShareReader, movie: Path) -> str | None:
    try:
        return share.missing_structure(movie)
    except ShareSilent:
        raise
    except OSError as error:
        return f"it cannot be read now: {error.strerror or error}"
    except RuntimeError as error:
        return f"its structure cannot be read: {error}"


def _show_plan(plan: dict[str, object], *, as_json: bool) -> None:
    gain = f", gain {plan['gain']}" if plan.get("gain") else ""
    gain += f" ({plan['gain_found_by']})" if plan.get("gain_found_by") else ""
    reason = f" ({plan['reason']})" if plan["reason"] else ""
    layout = f", layout {plan['layout'] or 'of no known program'}" if "layout" in plan else ""
    line = f"would {plan['would']}{reason}: {plan['movie']}{layout}{gain}"
    sys.stdout.write((json.dumps(plan) if as_json else printable(line)) + "\n")
