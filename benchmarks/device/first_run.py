"""The first half hour on a GPU that cryoferry has never run on: one command, one JSON object a line.

    python -m benchmarks.device.first_run OUT [PART…]

Each part goes on after a failure of the one before, and has a limit of its own; all together have FIRST_RUN_MINUTES,
30 unless it says otherwise, and parts for which no time is left are named. What a part has told until its limit is
kept. Parts that compare and measure run in a process of their own (`first_run_parts`), since a device that fails takes
its process with it. Exit code 0: all parts are through; 2: no CUDA device answers; 3: some part failed, found a
difference or had no time.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.device.measuring import require_device
from benchmarks.errors import DeviceMissing

NO_DEVICE, SOME_FAILED = 2, 3
SMALL = "8x768x1024"
"""Frames, height and width of the movies that sanitizers watch: they make kernels a hundred times as slow."""
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
MOST_TEXT = 2000
MINUTES_VARIABLE, MINUTES = "FIRST_RUN_MINUTES", 30.0
LEAST_S = 20.0
"""A part that has less time is not begun."""
TO_END_S = 10.0
"""How long a program that was killed may take to end: one that waits for a driver may never do so."""
CUDA_TOOLS = ("/usr/local/cuda/bin", "/opt/cuda/bin")
"""Where NVIDIA's installers put compute-sanitizer, mostly without adding it to the PATH."""


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
    ends_s : float
        When all ends, by the monotonic clock.
    """

    out: Path
    ends_s: float = field(default_factory=lambda: time.monotonic() + 60 * _minutes())

    @property
    def left_s(self) -> float:
        """Return how much time is left."""
        return self.ends_s - time.monotonic()

    def say(self, part: str, **what: Any) -> None:
        """Print and keep one object."""
        line = json.dumps({"part": part, "time_s": round(time.time(), 2), **what}, default=str)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        with (self.out / "first_run.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def run(self, command: list[str], limit_s: float, name: str, environment: Mapping[str, str] | None = None) -> Ended:
        """Run a program to its end or its limit, with all that it starts; keep what it prints under `name`.

        It prints into files, not into pipes: what it has said is there when it is killed, and nobody waits for
        programs that it has left behind.
        """
        limit_s = min(limit_s, max(self.left_s, 1.0))
        told, errors = self.out / f"{name}.txt", self.out / f"{name}.stderr.txt"
        with told.open("wb") as out, errors.open("wb") as err:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env={**os.environ, **(environment or {})},
                    start_new_session=True,
                )
            except OSError as error:
                return Ended(127, "", f"{command[0]}: {error.strerror}")
            code, late = _ended(process, limit_s), ""
        if code is None:
            code, late = 124, f"no end within {limit_s:.0f} s\n"
        stdout, stderr = (path.read_text("utf-8", errors="replace") for path in (told, errors))
        return Ended(code, stdout, stderr + late)

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
        told = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{") and line.endswith("}")]
        for each in told:
            self.say(name, **each)
        sound = ended.code == 0 and bool(told) and not any(each.get("differ") for each in told)
        if not sound:
            self.say(name, failed=f"exit code {ended.code}", text=(ended.stdout + ended.stderr)[-MOST_TEXT:])
        return sound


def _minutes() -> float:
    return float(os.environ.get(MINUTES_VARIABLE, MINUTES))


def _ended(process: subprocess.Popen[bytes], limit_s: float) -> int | None:
    """Wait for a program; return its exit code, or None if it was killed at its limit, with all that it had started."""
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):  # it hangs in the driver; the next parts tell if the device is of use
        process.wait(TO_END_S)
    return None


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
    program = shutil.which("compute-sanitizer", path=os.pathsep.join([os.environ.get("PATH", ""), *CUDA_TOOLS]))
    if program is None:
        run.say("sanitizers", skipped="compute-sanitizer is neither in PATH nor in " + " or ".join(CUDA_TOOLS))
        return True
    told = [
        run.in_child(
            part,
            150,
            program,
            "--error-exitcode=9",
            f"--tool={tool}",
            shape=SMALL,
            alone=tool == "memcheck",
        )
        for tool in SANITIZERS
        for part in ("decode", "movies")
        if run.left_s > LEAST_S
    ]
    if len(told) < 2 * len(SANITIZERS):
        run.say("sanitizers", failed=f"time for {len(told)} of {2 * len(SANITIZERS)} runs only")
        return False
    return all(told)


def sustained(run: FirstRun) -> bool:
    """Align K3 movies in a row with overlapping stages."""
    command = [sys.executable, "-m", "cryoferry", "bench", "align", "k3", "--device", "cuda:0", "--threads", "16"]
    command += ["--programs", "cryoferry", "--sustained", "30", "--out", str(run.out / "bench"), "--json"]
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
    "prepare": _of_child("prepare", 300),
    "decode": _of_child("decode", 240),
    "deflate": _of_child("deflate", 240),
    "movies": _of_child("movies", 240),
    "profile": _of_child("profile", 240),
    "repeat": _of_child("repeat", 240),
    "tests": tests,
    "sustained": sustained,
    "sanitizers": sanitizers,
    "faults": _of_child("faults", 120),
}
"""In the order that tells most if the time ends early; last comes what may leave the device in a bad state."""


def _sound(run: FirstRun, part: str) -> bool:
    """Run a part; return whether it is through and found nothing. What it prints may be cut off or no JSON."""
    if run.left_s < LEAST_S:
        run.say(part, failed=f"no time is left; begin with it: ONLY={part}")
        return False
    try:
        return PARTS[part](run)
    except (OSError, ValueError, LookupError) as error:
        run.say(part, failed=f"{type(error).__name__}: {error}")
        return False


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
        part_is_sound = _sound(run, part)
        run.say(part, done=True, sound=part_is_sound, seconds=round(time.monotonic() - began_s, 1))
        sound = sound and part_is_sound
    return 0 if sound else SOME_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
