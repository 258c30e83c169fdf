"""`cryoferry retry --all`, `--failed`, `--warned` and `--matching`: many exposures, said as counts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any, Self

import typer

from agents.bulk_retries import BulkPlan, BulkRetry, Planned
from agents.commands.exposure_filter import ExposureFilter
from agents.commands.signals import INTERRUPTED
from agents.journal.journal import Journal
from agents.journal.retryable import RetryableExposure
from agents.journal.states import SET_ASIDE, State
from configuration import ConfigError
from transfer.commands.shared import stderr_console
from transfer.terminal.lines import print_line
from transfer.wire.printable import printable

MOST_NAMED = 20
"""More movies than these are counted, not listed; with `--json` all are listed."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which exposures the user chose without naming them. `is_what` ends the sentence "no exposure …"."""

    is_what: str
    states: frozenset[State] = frozenset(State)
    only_warned: bool = False
    pattern: str = ""
    asks: bool = True

    @classmethod
    def of(
        cls, names: Sequence[str], *, everything: bool, failed: bool, warned: bool, matching: str | None
    ) -> Self | None:
        """Return the choice; None if exposures are named.

        Raises
        ------
        ConfigError
            Nothing is chosen, or more than one thing is.
        """
        found: list[Self | None] = [None] if names else []
        found += [cls("is known")] if everything else []
        found += [cls("is failed or held", states=SET_ASIDE, asks=False)] if failed else []
        found += [cls("has a warning", only_warned=True)] if warned else []
        found += [cls(f"is named like {matching!r}", pattern=matching)] if matching is not None else []
        hint = (
            "Name exposures, as `cryoferry status` shows them, or give one of --all, --failed, --warned and"
            " --matching PATTERN."
        )
        if not found:
            raise ConfigError("no exposure is named", hint=hint)
        if len(found) > 1:
            raise ConfigError("exposures are chosen in more than one way", hint=hint)
        return found[0]

    def fits(self) -> Callable[[RetryableExposure], bool]:
        """Return what says whether an exposure is chosen."""
        is_named = ExposureFilter(pattern=self.pattern).fits()

        def is_chosen(exposure: RetryableExposure) -> bool:
            is_right = exposure.state in self.states and (exposure.has_warnings or not self.only_warned)
            return is_right and (is_named is None or is_named(exposure.movie))

        return is_chosen


def retry_many(
    journal: Journal, work: Path, chosen: Chosen, changed: dict[str, Any], *, dry_run: bool, as_json: bool, ask: bool
) -> None:
    """Process all chosen exposures again, as far as that would change something; say how many.

    Raises
    ------
    RetryRefused
        The source cannot be read.
    """
    retry = BulkRetry(journal, work, chosen.fits(), changed)
    plan, console = retry.plan(), stderr_console()
    for line in _passed_over(plan, has_changes=bool(changed)):
        console.print(line, markup=False)
    if not plan.chosen:
        is_any = any(_counts(plan).values())
        nothing = "There is nothing to do." if is_any else f"No exposure {chosen.is_what}: there is nothing to do."
        console.print(nothing, markup=False)
    else:
        console.print(_summary(plan.chosen, is_dry=dry_run), markup=False)
    if dry_run:
        _show(plan.chosen, is_done=False, as_json=as_json)
    elif plan.chosen:
        if ask and chosen.asks and sys.stdin.isatty() and sys.stderr.isatty():
            _ask()
        _carry_out(retry, plan, as_json=as_json)
    if as_json:
        typer.echo(dumps({"summary": _counts(plan), "done": not dry_run}))


def _ask() -> None:
    """Ask whether to go on; end the command if not."""
    try:
        goes_on = typer.confirm("Go on?", err=True)
    except typer.Abort as interrupt:
        raise typer.Exit(INTERRUPTED) from interrupt
    if not goes_on:
        stderr_console().print("Nothing was done.")
        raise typer.Exit(1)


def _carry_out(retry: BulkRetry, plan: BulkPlan, *, as_json: bool) -> None:
    count = 0
    try:
        for batch in retry.carry_out(plan):
            count += len(batch)
            if as_json or len(plan.chosen) <= MOST_NAMED:
                _show(batch, is_done=True, as_json=as_json)
    except KeyboardInterrupt:
        console = stderr_console()
        console.print(f"interrupted: {count} of {len(plan.chosen)} are queued; the same command goes on from there")
        raise
    if count != len(plan.chosen):
        rest = len(plan.chosen) - count
        stderr_console().print(f"{rest} of them changed meanwhile and were left alone; give the same command again.")


def _show(planned: Sequence[Planned], *, is_done: bool, as_json: bool) -> None:
    shown = planned if as_json else planned[:MOST_NAMED]
    for each in shown:
        exposure = each.exposure
        report = {"movie": exposure.movie, "exposure_id": str(exposure.published_id), "will": each.action}
        line = f"{'will' if is_done else 'would'} {each.action} again: {printable(exposure.movie)}"
        typer.echo(dumps({**report, "revision": each.revision, "done": is_done}) if as_json else line)
    if len(shown) < len(planned):
        print_line(f"… and {len(planned) - len(shown)} more; --json lists them all")


def _summary(planned: Sequence[Planned], *, is_dry: bool) -> str:
    revisions = sum(each.exposure.state == State.RELEASED for each in planned)
    sent = sum(each.action == "send" for each in planned)
    will = "would" if is_dry else "will"
    counts = (
        (revisions, f"{will} be processed again as the next revision"),
        (len(planned) - revisions - sent, f"{will} be processed again"),
        (sent, f"{will} be sent again"),
    )
    parts = [f"{count} exposure{'s' * (count != 1)} {what}" for count, what in counts if count]
    return "; ".join(parts)


def _passed_over(plan: BulkPlan, *, has_changes: bool) -> list[str]:
    lines = []
    if plan.queued:
        lines.append(f"Queued already with these settings: {plan.queued}.")
    if plan.busy:
        lines.append(
            f"Being processed with other settings: {plan.busy}. Give the same command again when they are done."
        )
    if plan.done:
        more = "" if has_changes else " Give what should change, such as --gain or --pixel-size."
        lines.append(f"Done already, the same settings would give the same result: {plan.done}.{more}")
    if plan.gone:
        names = ", ".join(map(printable, plan.gone[:3])) + (", …" if len(plan.gone) > 3 else "")
        lines.append(f"No longer in the source, left as they are: {len(plan.gone)} ({names}).")
    return lines


def _counts(plan: BulkPlan) -> dict[str, int]:
    return {
        "again": len(plan.chosen),
        "queued": plan.queued,
        "busy": plan.busy,
        "done_already": plan.done,
        "gone": len(plan.gone),
    }
