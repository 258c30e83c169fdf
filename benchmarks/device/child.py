"""Measures a movie on a CUDA device, in a separate process, without memory or contexts of others.

    python -m benchmarks.device.child DEVICE [REQUEST_FILE]

Without a request it reports whether the device answers. A request is a JSON object: `movie`, `out`, `repeats`, and
`settings` and `acquisition` as keywords. One JSON object goes to stdout: the figures, or `error` and `hint`.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from preprocess.backends.choose import choose_backend
from preprocess.errors import PreprocessError
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.movie_stages import MovieStages
from preprocess.pipeline.process_movie import process_alone
from preprocess.pipeline.stage_timer import StageTimer
from preprocess.settings import AlignmentSettings, EerSettings, GainSettings


def main() -> None:
    """Measure what the arguments ask for."""
    device = sys.argv[1]
    try:
        choose_backend(device)
        report = _measured(device, json.loads(Path(sys.argv[2]).read_text("utf-8"))) if len(sys.argv) > 2 else {}
    except PreprocessError as error:
        report = {"error": str(error), "hint": error.hint}
    sys.stdout.write(json.dumps(report) + "\n")


def _measured(device: str, request: dict[str, Any]) -> dict[str, Any]:
    from preprocess.backends.cuda import gauges  # noqa: PLC0415 - CuPy is an extra

    number = int(device.partition(":")[2] or 0)
    rates = gauges.copy_rates(number)
    stages = MovieStages.chosen(
        Path(request["out"]), _settings(device, request), Acquisition(**request["acquisition"]), Acquisition()
    )
    movie = Path(request["movie"])
    _process(stages, movie)  # compiles kernels and plans transforms; not counted
    stages.backend.stage_times()
    began = time.perf_counter()
    timed = [_process(stages, movie) for _ in range(request["repeats"])]
    took = time.perf_counter() - began
    times = stages.backend.stage_times()
    with gauges.MemoryPeak(
        number
    ) as peak:  # not while time is measured: asking for it every few ms holds up the driver
        _process(stages, movie)
    return {
        "device": device,
        "name": gauges.device_name(number),
        "movies": len(timed),
        "seconds_per_movie": took / len(timed),
        "stage_seconds": {stage: sum(seconds[stage] for seconds in timed) / len(timed) for stage in timed[0]},
        "copy_bytes_per_s": asdict(rates),
        "stages": [{"stage": stage, **asdict(time)} for stage, time in times.items()],
        "peak_bytes": peak.highest_bytes,
        "total_bytes": peak.total_bytes,
    }


def _settings(device: str, request: dict[str, Any]) -> AlignmentSettings:
    gain, eer_frames = request["gain"], request["eer_frames"]
    return AlignmentSettings(
        device=device,
        threads=request["threads"],
        bin_factor=request["bin_factor"],
        unweighted=True,
        gain=GainSettings(path=None if gain is None else Path(gain)),
        eer=EerSettings(hardware_frames_per_frame=eer_frames),
    )


def _process(stages: MovieStages, movie: Path) -> dict[str, float]:
    timer = StageTimer()
    process_alone(stages, stages.prepare(movie, timer), timer)
    return timer.seconds


if __name__ == "__main__":
    main()
