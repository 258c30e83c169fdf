"""Makes micrographs, and asks the estimators about each."""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np
from numpy.typing import NDArray

from benchmarks.ctf.answers import CtfAnswer, CtfQuestion
from benchmarks.ctf.ctffind import PROGRAM, ctffind_answer
from benchmarks.ctf.judging import CtfErrors, judge
from benchmarks.ctf.own import NAME, own_answer
from benchmarks.ctf.sets import MicrographSet
from benchmarks.errors import NothingToMeasure
from preprocess.simulation import simulate_micrograph
from preprocess.simulation.micrograph_settings import MicrographSettings

PROGRAMS = (NAME, PROGRAM)


@dataclass(frozen=True, slots=True, kw_only=True)
class CtfRun:
    """One simulated micrograph: what it is, and what each program made of it.

    `judgements` are those of `answers`, None where nothing can be compared. `read_s` is the time to read the file.
    """

    set_name: str
    seed: int
    truth: MicrographSettings
    to_be_found: bool
    read_s: float
    answers: tuple[CtfAnswer, ...]
    judgements: tuple[CtfErrors | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Which programs are asked, with how many threads each; images are kept in `cache`, if there is one."""

    programs: tuple[str, ...]
    threads: tuple[int, ...]
    cache: Path | None = None

    def ask(self, path: Path, image: NDArray[np.float32], question: CtfQuestion, work: Path) -> tuple[CtfAnswer, ...]:
        """Return the answers of all programs about an image that is in a file and in memory."""
        answers = []
        for threads in self.threads:
            if NAME in self.programs:
                answers.append(own_answer(image, question, threads))
            if PROGRAM in self.programs:
                answers.append(ctffind_answer(path, question, threads, work))
        return tuple(answers)


def run_set(of: MicrographSet, seeds: Sequence[int], asking: Asking) -> Iterator[CtfRun]:
    """Yield what the programs make of a set's micrographs."""
    with tempfile.TemporaryDirectory(prefix="cryoferry-bench-ctf-") as folder:
        work = Path(folder)
        for index, seed in enumerate(seeds):
            truth = of.settings(seed)
            path = _made(of, truth, asking.cache or work)
            question = question_of(truth, find_phase_shift=of.with_phase)
            image, read_s = read_image(path)
            if index == 0 and NAME in asking.programs:
                own_answer(image, question, max(asking.threads))  # compiles
            answers = asking.ask(path, image, question, work)
            judgements = tuple(judge(answer, truth) for answer in answers)
            yield CtfRun(
                set_name=of.name,
                seed=seed,
                truth=truth,
                to_be_found=of.to_be_found,
                read_s=read_s,
                answers=answers,
                judgements=judgements,
            )
            if asking.cache is None:
                path.unlink()


def question_of(truth: MicrographSettings, *, find_phase_shift: bool) -> CtfQuestion:
    """Return what a program is told about a simulated micrograph."""
    return CtfQuestion(
        pixel_size_angstrom=truth.pixel_size_angstrom,
        voltage_kv=truth.voltage_kv,
        cs_mm=truth.cs_mm,
        amplitude_contrast=truth.amplitude_contrast,
        find_phase_shift=find_phase_shift,
    )


def read_image(path: Path) -> tuple[NDArray[np.float32], float]:
    """Return an MRC file's image as it lies, and the seconds that reading took.

    Raises
    ------
    NothingToMeasure
        It is no MRC file of one image.
    """
    begun = time.perf_counter()
    try:
        image = np.ascontiguousarray(np.squeeze(mrcfile.read(path)), np.float32)
    except (OSError, ValueError) as error:
        raise NothingToMeasure(f"{path} cannot be read as MRC: {error}") from error
    if image.ndim != 2:
        raise NothingToMeasure(f"{path} holds more than one image", hint="Give micrographs, not movies.")
    return image, time.perf_counter() - begun


def _made(of: MicrographSet, truth: MicrographSettings, folder: Path) -> Path:
    """Return the file of a micrograph, made where it is not there already."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{of.name.replace('@', '_')}_{truth.seed}_{zlib.crc32(repr(truth).encode()):08x}.mrc"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        simulate_micrograph(truth).write(unfinished)
        unfinished.rename(path)
    return path
