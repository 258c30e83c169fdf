"""Medians and spreads of the runs of each path, and the sentence that says which one to use."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.transfer.paths.catalogue import OURS
from benchmarks.transfer.paths.runs import TransferRun
from benchmarks.transfer.paths.start_up import SHORTEST_S

NO_NETWORK = "cp"
_AS_FAST = 0.95
"""Rates that are nearer than this are no reason to prefer a path."""
_WORTH_TELLING = 1.3


@dataclass(frozen=True, slots=True)
class Row:
    """What the runs of one path with one payload under one default congestion control were.

    Rates are without start-up, in bytes/s: median, least and most. `stopped` says that at least one run was, so that
    the rate is of what had arrived.
    """

    path: str
    payload: str
    congestion_control: str | None
    verifies: str
    runs: int
    rates: tuple[float, float, float] | None
    wall_s: float
    start_s: float
    cpu_s_per_gb: float | None
    near_peak_bytes: int
    far_peak_bytes: int | None
    stopped: bool
    wrong: bool
    failure: str | None

    @property
    def rate(self) -> float:
        """The median rate, 0 where there is none."""
        return self.rates[0] if self.rates is not None else 0.0

    @property
    def is_ours(self) -> bool:
        """Whether it is cryoferry as people use it."""
        return self.path == OURS

    def as_object(self) -> dict[str, Any]:
        """Return the row for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Group:
    """The rows that may be compared: one payload, one default congestion control, and iperf3's rate with it."""

    payload: str
    congestion_control: str | None
    rows: list[Row]
    limit_bytes_per_s: float | None

    @property
    def ours(self) -> Row | None:
        """Cryoferry's row, if it ran."""
        return next((row for row in self.rows if row.is_ours and row.rates is not None), None)

    def as_object(self) -> dict[str, Any]:
        """Return the group for JSON."""
        return {
            "payload": self.payload,
            "congestion_control": self.congestion_control,
            "iperf3_bytes_per_s": self.limit_bytes_per_s,
            "rows": [row.as_object() for row in self.rows],
        }


def grouped(runs: Sequence[TransferRun], limits: dict[str | None, float | None]) -> list[Group]:
    """Return the runs' rows by payload and default congestion control, fastest first."""
    keys = dict.fromkeys((run.payload, run.congestion_control) for run in runs)
    groups = []
    for payload, control in keys:
        mine = [run for run in runs if (run.payload, run.congestion_control) == (payload, control)]
        rows = [_row([run for run in mine if run.path == path]) for path in dict.fromkeys(run.path for run in mine)]
        rows.sort(key=lambda row: -row.rate)
        groups.append(Group(payload, control, rows, limits.get(control)))
    return groups


def _row(runs: Sequence[TransferRun]) -> Row:
    first = runs[0]
    whole = [run for run in runs if run.failure is None]
    start_s = statistics.median([run.start_s for run in whole]) if whole else 0.0
    rates = [rate for run in whole if (rate := run.rate_bytes_per_s(start_s)) is not None]
    costs = [(run.cpu_s - run.start_cpu_s) * 1e9 / run.carried_bytes for run in whole if run.cpu_s is not None]
    return Row(
        first.path,
        first.payload,
        first.congestion_control,
        first.verifies,
        len(runs),
        (statistics.median(rates), min(rates), max(rates)) if rates else None,
        statistics.median([run.wall_s for run in whole]) if whole else 0.0,
        start_s,
        statistics.median(costs) if costs else None,
        max(run.near_peak_bytes for run in runs),
        max((run.far_peak_bytes for run in runs if run.far_peak_bytes is not None), default=None),
        any(run.stopped for run in runs),
        any(run.digests_match is False for run in runs),
        next((run.failure for run in runs if run.failure is not None), None),
    )


def sentence(groups: Sequence[Group]) -> str:
    """Return one sentence that says which path this link should use, and why.

    It looks at the first payload under the hosts' own congestion control, which is the first group.
    """
    if not groups:
        return "Nothing was measured."
    group = groups[0]
    able = [row for row in group.rows if row.rates is not None and not row.wrong and row.path.split()[0] != NO_NETWORK]
    if not able:
        return _nothing_to_compare(group)
    best, ours = able[0], group.ours
    if ours is not None and not ours.wrong and ours.rate >= _AS_FAST * best.rate:
        return _for_us(ours, group, groups, able)
    reason = f"{best.rate / 1e6:,.0f} MB/s" + (f", checked by {best.verifies}" if best.verifies else ", unchecked")
    if ours is None:
        return f"Of what ran, {best.path} is the fastest here: {reason}; {_of_our_other_rows(able)}."
    return (
        f"{best.path} is the fastest here ({reason}); cryoferry reaches {ours.rate / best.rate * 100:.0f} % of that "
        "with every chunk and file checked by BLAKE3 and synced to disk before its receipt."
    )


def _nothing_to_compare(group: Group) -> str:
    """Return why no path of a group can be recommended: all failed, or some were whole but too quick for a rate."""
    rows = [row for row in group.rows if row.path.split()[0] != NO_NETWORK]
    whole = [row for row in rows if row.failure is None and not row.wrong]
    if not whole:
        return "No path carried the files whole: the lines above give each path's reason."
    return (
        f"{len(whole)} of {len(rows)} paths carried the files whole, but too quickly for a rate: "
        f"a run must take {SHORTEST_S:g} s without its start-up. "
        "Take more or larger --files."
    )


def _of_our_other_rows(able: Sequence[Row]) -> str:
    """Say how cryoferry does in another form than the plain one, such as over TLS, where that one has no rate."""
    best, other = able[0], next((row for row in able if row.path.startswith(OURS)), None)
    if other is None or best.rates is None or other.rates is None:
        return "cryoferry was not among it"
    if other is best:
        return "plain cryoferry has no rate here"
    return f"{other.path} reaches {other.rate / best.rate * 100:.0f} % of that, plain cryoferry has no rate here"


def _for_us(ours: Row, group: Group, groups: Sequence[Group], able: Sequence[Row]) -> str:
    text = f"Use cryoferry on this link: {ours.rate / 1e6:,.0f} MB/s, every byte checked"
    if group.limit_bytes_per_s:
        text += f", {ours.rate / group.limit_bytes_per_s * 100:.0f} % of what iperf3 gets"
    others = [row for row in able if not row.path.startswith(OURS)]
    if not others:
        return f"{text}; no other path was there to compare it with."
    next_best = others[0]
    rate = f"{'about ' if next_best.stopped else ''}{next_best.rate / 1e6:,.3g} MB/s"
    ratio = ours.rate / next_best.rate
    if ratio < 1 / _AS_FAST:
        checked = f"checked by {next_best.verifies}" if next_best.verifies else "unchecked"
        return f"{text}, as fast as {next_best.path} ({rate}, {checked}) within the spread of such figures."
    return f"{text}, {ratio:.2g} times {next_best.path} ({rate}){_because(ours, next_best, group, groups)}."


def _because(ours: Row, next_best: Row, group: Group, groups: Sequence[Group]) -> str:
    """Return what part of the lead is BBR's: the same two paths where every host uses it by default."""
    same = next((one for one in groups[1:] if one.payload == group.payload and one.congestion_control == "bbr"), None)
    if same is None or group.congestion_control == "bbr" or ours.rate < _WORTH_TELLING * next_best.rate:
        return ""
    others = [row for row in same.rows if not row.path.startswith(OURS) and row.rates is not None]
    if not others or same.ours is None:
        return ""
    return (
        f"; with BBR as both hosts' default the lead over the best other, {others[0].path}, "
        f"is {same.ours.rate / others[0].rate:.2g} times"
    )
