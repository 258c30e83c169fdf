"""What a device's stages took, and their bytes held against plain copying, measured in the same run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["transfer", "decode", "compute"]

UPLOAD, DOWNLOAD = "upload", "download"
TRANSFERS = (UPLOAD, DOWNLOAD)
DECODE = "decode"


@dataclass(frozen=True, slots=True)
class StageFigure:
    """One stage of one movie on the device.

    Attributes
    ----------
    kind : str
        `transfer`, `decode` or `compute`.
    bytes_per_s, flop_per_s : float | None
        None if the stage was too short for events to measure.
    of_copying : float | None
        Bytes a second, as a part of what plain copying reaches: over the bus for transfers, in the device's memory
        for all others. Near 1: nothing is left to gain but by moving fewer bytes.
    """

    stage: str
    kind: Kind
    ms: float
    bytes: float
    flop: float
    bytes_per_s: float | None
    flop_per_s: float | None
    of_copying: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFigures:
    """A movie on the device: means over `movies` runs after one that is not counted.

    `peak_bytes` is the peak use of the device's memory by all processes, the driver's context included.
    `stage_seconds` are wall times; what reading asks of the device last may end in the next stage.
    """

    movie: str
    device: str
    name: str
    movies: int
    seconds_per_movie: float
    stage_seconds: dict[str, float]
    copy_bytes_per_s: dict[str, float]
    stages: tuple[StageFigure, ...]
    peak_bytes: int
    total_bytes: int

    def as_object(self) -> dict[str, Any]:
        """Return the figures for JSON, with the time of each kind of stage added up."""
        return {**asdict(self), "ms_by_kind": self.ms_by_kind()}

    def ms_by_kind(self) -> dict[str, float]:
        """Return the milliseconds on the device of transfers, decoding and computing."""
        sums: dict[str, float] = {"transfer": 0.0, "decode": 0.0, "compute": 0.0}
        for stage in self.stages:
            sums[stage.kind] += stage.ms
        return sums


def device_figures(report: Mapping[str, Any], movie: str) -> DeviceFigures:
    """Return the figures from what the measuring process reported (`benchmarks.device.child`)."""
    rates = report["copy_bytes_per_s"]
    return DeviceFigures(
        movie=movie,
        device=report["device"],
        name=report["name"],
        movies=report["movies"],
        seconds_per_movie=report["seconds_per_movie"],
        stage_seconds=report["stage_seconds"],
        copy_bytes_per_s=rates,
        stages=stage_figures(report["stages"], rates, report["movies"]),
        peak_bytes=report["peak_bytes"],
        total_bytes=report["total_bytes"],
    )


def stage_figures(
    stages: Sequence[Mapping[str, Any]], copy_bytes_per_s: Mapping[str, float], movies: int
) -> tuple[StageFigure, ...]:
    """Return each stage's figures for one movie.

    Parameters
    ----------
    stages
        `stage`, `ms`, `bytes` and `flop`, each the sum over all movies.
    copy_bytes_per_s
        Of plain copying: `on_device` (reads and writes both counted), `upload` and `download`.
    """
    return tuple(
        _figure(one["stage"], one["ms"] / movies, one["bytes"] / movies, one["flop"] / movies, copy_bytes_per_s)
        for one in stages
    )


def _figure(stage: str, ms: float, moved: float, flop: float, copying: Mapping[str, float]) -> StageFigure:
    kind: Kind = "transfer" if stage in TRANSFERS else "decode" if stage == DECODE else "compute"
    by_copying = copying[stage if kind == "transfer" else "on_device"]
    rate = moved / ms * 1e3 if ms > 0 else None
    return StageFigure(
        stage=stage,
        kind=kind,
        ms=ms,
        bytes=moved,
        flop=flop,
        bytes_per_s=rate,
        flop_per_s=flop / ms * 1e3 if ms > 0 else None,
        of_copying=None if rate is None or not by_copying else rate / by_copying,
    )
