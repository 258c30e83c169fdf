"""Everything that can go wrong with a benchmark, as one tree.

* BenchmarkError
  + NothingToMeasure     no movies, no such preset, no program
  + ResultUnreadable     a program's output is not what it should be
  + ProgramFailed        a program ended with an error
  + TookTooLong          a program was stopped
  + DeviceMissing        the device to be measured does not answer
"""

from __future__ import annotations

from typing import ClassVar


class BenchmarkError(Exception):
    """The benchmark could not be run."""

    exit_code: ClassVar[int] = 1
    hint: str = "See docs/benchmarks.md."

    def __init__(self, detail: str = "", *, hint: str | None = None) -> None:
        super().__init__(detail or (type(self).__doc__ or "").strip().splitlines()[0])
        if hint is not None:
            self.hint = hint


class NothingToMeasure(BenchmarkError):
    """There is nothing to measure."""

    exit_code = 2
    hint = "Name a preset, or movies with --movies; `cryoferry bench align --help` lists the presets."


class ResultUnreadable(BenchmarkError):
    """A program's output is missing or is not what it should be."""

    hint = "Run the program by itself; the benchmark's JSON holds its command."


class ProgramFailed(BenchmarkError):
    """A program ended with an error."""

    hint = "Run the program by itself; the benchmark's JSON holds its command."


class TookTooLong(BenchmarkError):
    """A program took longer than its time limit, and was stopped."""

    hint = "Give it more time (--cap), or fewer files."


class DeviceMissing(BenchmarkError):
    """No CUDA device answers."""

    exit_code = 2
    hint = (
        "On a machine with an NVIDIA GPU: install the extra that `cryoferry doctor` names. "
        "Without a GPU, --device cpu measures everything else."
    )
