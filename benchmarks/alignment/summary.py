"""Summary of the runs: for each preset and program medians, means over seeds, and ratios to RELION."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from benchmarks.alignment.contestants import RELION
from benchmarks.alignment.runs import AlignRun

FAR_FROM_COARSE_ANGSTROM = 8.0
"""Rings finer than this are those that decide a reconstruction's resolution."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and largest of some measurements."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Return it; None without values."""
        known = [value for value in values if value is not None]
        return cls(statistics.median(known), min(known), max(known)) if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstRelion:
    """How a program compares with RELION in the same run: `faster` and `leaner` are larger than 1 where RELION loses.

    `least_frc_difference` is over all rings, `least_fine_frc_difference` over those beyond 8 Å, both of means over
    seeds.
    """

    faster: float | None
    less_cpu: float | None
    leaner: float | None
    field_ratio: float | None
    least_frc_difference: float | None
    least_fine_frc_difference: float | None


@dataclass(slots=True, kw_only=True)
class Summary:
    """A program on a preset's movies, or on one of the user's own."""

    preset: str
    program: str
    runs: int
    failures: list[str]  # each reason once
    wall_s: Spread | None
    cpu_s: Spread | None
    peak_bytes: int | None
    stage_seconds: dict[str, float]
    motion_angstrom: float | None
    field_px: float | None
    whole_frame_px: float | None
    local_px: float | None
    field_px_by_seed: dict[str, float]
    frc: list[float] | None
    frc_frequencies: list[float] | None
    mutual_frc: dict[str, list[float]] = field(default_factory=dict)
    against_relion: AgainstRelion | None = None

    def as_object(self) -> dict[str, Any]:
        """Return the summary for JSON."""
        return asdict(self)


def summarise(runs: Sequence[AlignRun]) -> list[Summary]:
    """Return a summary for each preset (or movie of the user's own) and program, in order of appearance."""
    groups: dict[tuple[str, str], list[AlignRun]] = {}
    for run in runs:
        groups.setdefault((run.preset or run.movie, run.program), []).append(run)
    summaries = {key: _summary(*key, group) for key, group in groups.items()}
    for (preset, program), summary in summaries.items():
        if (preset, RELION) in summaries and program != RELION:
            summary.against_relion = _against(summary, summaries[preset, RELION])
    return list(summaries.values())


def _summary(preset: str, program: str, runs: Sequence[AlignRun]) -> Summary:
    good = [run for run in runs if run.failure is None]
    rings = [run.frc for run in good if run.frc is not None]
    stages = dict.fromkeys(stage for run in good for stage in run.stage_seconds)
    return Summary(
        preset=preset,
        program=program,
        runs=len(runs),
        failures=list(dict.fromkeys(run.failure for run in runs if run.failure is not None)),
        wall_s=Spread.of(run.wall_s for run in good),
        cpu_s=Spread.of(run.cpu_s for run in good),
        peak_bytes=max((run.peak_bytes for run in good if run.peak_bytes is not None), default=None),
        stage_seconds={
            stage: statistics.median(run.stage_seconds[stage] for run in good if stage in run.stage_seconds)
            for stage in stages
        },
        motion_angstrom=_mean(run.motion_angstrom for run in good),
        field_px=_mean(run.field_px for run in good),
        whole_frame_px=_mean(run.whole_frame_px for run in good),
        local_px=_mean(run.local_px for run in good),
        field_px_by_seed={f"{run.seed}": run.field_px for run in good if run.field_px is not None},
        frc=np.mean(rings, axis=0).tolist() if rings else None,
        frc_frequencies=next((run.frc_frequencies for run in good if run.frc_frequencies), None),
        mutual_frc={name: frc for run in good for name, frc in run.mutual_frc.items()},
    )


def _against(summary: Summary, relion: Summary) -> AgainstRelion:
    differences: list[float] = []
    fine: list[float] = []
    if summary.frc and relion.frc and summary.frc_frequencies:
        differences = [ours - theirs for ours, theirs in zip(summary.frc, relion.frc, strict=True)]
        beyond = zip(summary.frc_frequencies, differences, strict=True)
        fine = [difference for frequency, difference in beyond if frequency > 1 / FAR_FROM_COARSE_ANGSTROM]
    return AgainstRelion(
        faster=_ratio(_median(relion.wall_s), _median(summary.wall_s)),
        less_cpu=_ratio(_median(relion.cpu_s), _median(summary.cpu_s)),
        leaner=_ratio(relion.peak_bytes, summary.peak_bytes),
        field_ratio=_ratio(summary.field_px, relion.field_px),
        least_frc_difference=min(differences, default=None),
        least_fine_frc_difference=min(fine, default=None),
    )


def _median(spread: Spread | None) -> float | None:
    return None if spread is None else spread.median


def _ratio(upper: float | None, lower: float | None) -> float | None:
    return None if upper is None or not lower else upper / lower


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
