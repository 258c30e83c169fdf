"""The first half hour on a GPU that cryoferry has never run on: one command, one JSON object a line.

    python -m benchmarks.device.first_run OUT [PART…]

Each part goes on after a failure of the one before, and has a limit of its own. Parts that compare and measure run in
a process of their own (`first_run_parts`), since a device that fails takes its process with it. Exit code 0: all parts
are through; 2: no CUDA device answers; 3: some part failed or found a difference.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.device.measuring import require_device
from benchmarks.errors import DeviceMissing

NO_DEVICE, SOME_FAILED = 2, 3
SMALL = "8x768x1024"
"""Frames, height and width of the movies that sanitizers watch: they make kernels a hundred times as slow."""
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
MOST_TEXT = 2000


class Ended(NamedTuple):
    """How a program ended."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class FirstRun:
    """Where results go, and how they are told.

    Attributes
    ----------
    out : Path
        Gets `first_run.jsonl`, and what programs print.
    """

    out: Path

    def say(self, part: str, **what: Any) -> None:
        """Print and keep one object."""
        line = json.dumps({"part": part, "time_s": round(time.time(), 2), **what}, default=str)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        with (self.out / "first_run.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def run(self, command: list[str], limit_s: float, name: str, environment: Mapping[str, str] | None = None) -> Ended:
        """Run a program to its end or its limit, and keep what it prints under `name`."""
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=limit_s,
                env={**os.environ, **(environment or {})},
            )
            ended = Ended(done.returncode, done.stdout, done.stderr)
        except subprocess.TimeoutExpired:
            ended = Ended(124, "", f"no end within {limit_s:.0f} s")
        except OSError as error:
            ended = Ended(127, "", f"{command[0]}: {error.strerror}")
        (self.out / f"{name}.txt").write_text(ended.stdout + ended.stderr, "utf-8")
        return ended

    def in_child(self, part: str, limit_s: float, *before: str, shape: str | None = None, alone: bool = False) -> bool:
        """Run a part in a process of its own, under the program `before` if one is given; tell what it tells.

        Parameters
        ----------
        shape : str | None
            Frames, height and width of the movies, if not the usual ones.
        alone : bool
            Whether each array is an allocation of its own, so that a step beyond its end is seen.
        """
        name = "-".join([part, *(Path(word).name.lstrip("-") for word in before)])
        environment = {} if shape is None else {"FIRST_RUN_SHAPE": shape}
        environment |= {"FIRST_RUN_NO_POOL": "1"} if alone else {}
        command = [*before, sys.executable, "-m", "benchmarks.device.first_run_parts", str(self.out), part]
        ended = self.run(command, limit_s, name, environment)
        told = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
        for each in told:
            self.say(name, **each)
        sound = ended.code == 0 and bool(told) and not any(each.get("differ") for each in told)
        if not sound:
            self.say(name, failed=f"exit code {ended.code}", text=(ended.stdout + ended.stderr)[-MOST_TEXT:])
        return sound


def facts(run: FirstRun) -> bool:
    """Keep what nvidia-smi tells, and what the device is and how fast it copies."""
    query = "name,driver_version,pcie.link.gen.current,pcie.link.width.current,mig.mode.current,compute_mode"
    run.run(["nvidia-smi", "-q", "-d", "ECC,CLOCK,POWER"], 60, "nvidia-smi-q")
    told = run.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv"], 60, "nvidia-smi").stdout
    run.say("facts", nvidia_smi=told.splitlines())
    return run.in_child("facts", 120)


def tests(run: FirstRun) -> bool:
    """Run all tests that need a device."""
    done = run.run([sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"], 420, "tests")
    run.say("tests", exit_code=done.code, tail=done.stdout.splitlines()[-12:])
    return done.code == 0


def sanitizers(run: FirstRun) -> bool:
    """Decode and align small movies under each tool of compute-sanitizer."""
    if shutil.which("compute-sanitizer") is None:
        run.say("sanitizers", skipped="compute-sanitizer is not installed")
        return True
    told = [
        run.in_child(
            part,
            240,
            "compute-sanitizer",
            "--error-exitcode=9",
            f"--tool={tool}",
            shape=SMALL,
            alone=tool == "memcheck",
        )
        for tool in SANITIZERS
        for part in ("decode", "movies")
    ]
    return all(told)


def sustained(run: FirstRun) -> bool:
    """Align K3 movies in a row with overlapping stages."""
    command = [sys.executable, "-m", "cryoferry", "bench", "align", "k3", "--device", "cuda:0", "--threads", "16"]
    command += ["--programs", "cryoferry", "--sustained", "50", "--out", str(run.out / "bench"), "--json"]
    done = run.run(command, 420, "sustained")
    if done.code:
        run.say("sustained", failed=f"exit code {done.code}", text=done.stderr[-MOST_TEXT:])
        return False
    report = json.loads(done.stdout)
    run.say("sustained", sustained=report["sustained"], on_device=report["on_device"])
    return True


def _of_child(part: str, limit_s: float) -> Callable[[FirstRun], bool]:
    return lambda run: run.in_child(part, limit_s)


PARTS: dict[str, Callable[[FirstRun], bool]] = {
    "facts": facts,
    "kernels": _of_child("kernels", 240),
    "decode": _of_child("decode", 300),
    "movies": _of_child("movies", 300),
    "repeat": _of_child("repeat", 300),
    "tests": tests,
    "sanitizers": sanitizers,
    "profile": _of_child("profile", 240),
    "faults": _of_child("faults", 120),
    "sustained": sustained,
}
"""In the order that tells most if the time ends early."""


def main(arguments: list[str]) -> int:
    """Run the parts that are named, or all of them; return the exit code."""
    out, wanted = Path(arguments[0]), arguments[1:] or list(PARTS)
    out.mkdir(parents=True, exist_ok=True)
    run = FirstRun(out)
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        run.say("first_run", failed=f"there is no part {', '.join(unknown)}; parts: {', '.join(PARTS)}")
        return NO_DEVICE
    try:
        require_device("cuda:0")
    except DeviceMissing as error:
        run.say("first_run", failed=str(error), hint=error.hint)
        return NO_DEVICE
    sound = True
    for part in wanted:
        began_s = time.monotonic()
        part_is_sound = PARTS[part](run)
        run.say(part, done=True, sound=part_is_sound, seconds=round(time.monotonic() - began_s, 1))
        sound = sound and part_is_sound
    return 0 if sound else SOME_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
