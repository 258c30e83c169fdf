"""Aligns movies one after the other in a worker process, as the agent does: `python -m … JOB.json`.

The job is JSON: `settings` (as `agents.workers.jobs.to_json` writes them), `movies` (paths) and `out` (a folder, whose
content is removed after each movie). Prints one line of JSON a movie: its `seconds` and `files`, or an `error`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from agents.workers.contract import AlignmentFailure, AlignmentJob
from agents.workers.local_process import LocalProcessWorker

_TIMEOUT_S = 3600.0


def main() -> None:
    """Align what the job names."""
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    worker = LocalProcessWorker()
    try:
        for number, movie in enumerate(job["movies"]):
            answer = _aligned(worker, job["settings"], movie, Path(job["out"]) / f"{number}")
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    finally:
        worker.close()


def _aligned(worker: LocalProcessWorker, settings: dict[str, Any], movie: str, outputs: Path) -> dict[str, Any]:
    outputs.mkdir(parents=True)
    found = worker.align(AlignmentJob(movie=movie, outputs=str(outputs), settings=settings, timeout_s=_TIMEOUT_S))
    if isinstance(found, AlignmentFailure):
        return {"error": {"message": found.reason}}
    return {"seconds": dict(found.seconds), "files": {str(path): str(path) for path in outputs.iterdir()}}


if __name__ == "__main__":
    main()
