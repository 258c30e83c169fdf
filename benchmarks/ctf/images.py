"""A user's own images: no truth is known, but parts of an image must agree within the errors that are stated.

Each part has its own place on a specimen that may be tilted. Where the fit of the whole image found a tilt, a part is
compared with the defocus that this predicts for its middle.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.ctf.answers import CtfAnswer, CtfQuestion
from benchmarks.ctf.runs import Asking, read_image
from preprocess.simulation.writers import write_mrc

Region = tuple[slice, slice]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartAnswer:
    """What a program says about a part of an image whose middle is (y, x) Å from the image's."""

    part: str
    middle_angstrom: tuple[float, float]
    answer: CtfAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReport:
    """What programs say about an image and about its parts."""

    name: str
    question: CtfQuestion
    read_s: float
    answers: tuple[CtfAnswer, ...]
    parts: tuple[PartAnswer, ...]

    def parts_of(self, method: str) -> list[str]:
        """Return a short text about each part, for people."""
        whole = next(answer for answer in self.answers if answer.method == method)
        return [self._text(one, whole) for one in self.parts if one.answer.method == method]

    @staticmethod
    def _text(one: PartAnswer, whole: CtfAnswer) -> str:
        if one.answer.failure:
            return f"{one.part} failed"
        text = f"{one.part} {one.answer.mean_defocus_angstrom:.0f}"
        if one.answer.sigma_angstrom and whole.sigma_angstrom:
            error = float(np.hypot(one.answer.sigma_angstrom, whole.sigma_angstrom))
            predicted = predicted_defocus(whole, one.middle_angstrom)
            text += f" ({(one.answer.mean_defocus_angstrom - predicted) / error:+.1f})"
        return text


def predicted_defocus(whole: CtfAnswer, place_angstrom: tuple[float, float]) -> float:
    """Return the mean defocus at a place (y, x) from the image's middle, by the tilt that was found."""
    if whole.tilt_degrees is None or whole.tilt_axis_degrees is None:
        return whole.mean_defocus_angstrom
    axis, (y, x) = np.deg2rad(whole.tilt_axis_degrees), place_angstrom
    beside_axis = y * np.cos(axis) - x * np.sin(axis)
    return float(whole.mean_defocus_angstrom + np.tan(np.deg2rad(whole.tilt_degrees)) * beside_axis)


def ask_about_images(paths: Sequence[Path], question: CtfQuestion, asking: Asking) -> Iterator[ImageReport]:
    """Yield what the programs say about each image, its halves and its thirds."""
    for path in paths:
        image, read_s = read_image(path)
        with tempfile.TemporaryDirectory(prefix="cryoferry-bench-ctf-") as folder:
            work = Path(folder)
            asking.ask(path.resolve(), image, question, work)  # compiles
            answers = asking.ask(path.resolve(), image, question, work)
            one_thread_count = replace(asking, threads=asking.threads[:1])
            parts = []
            for name, region in _regions(image.shape):
                of_part = np.ascontiguousarray(image[region])
                file = work / "part.mrc"
                write_mrc(file, [of_part], frame_count=1, mode=2, pixel_size_angstrom=question.pixel_size_angstrom)
                middle = _middle(region, image.shape, question.pixel_size_angstrom)
                parts += [
                    PartAnswer(part=name, middle_angstrom=middle, answer=answer)
                    for answer in one_thread_count.ask(file, of_part, question, work)
                ]
        yield ImageReport(name=path.name, question=question, read_s=read_s, answers=answers, parts=tuple(parts))


def _regions(shape: tuple[int, ...]) -> Iterator[tuple[str, Region]]:
    height, width = shape
    everything = slice(None)
    yield "left half", (everything, slice(0, width // 2))
    yield "right half", (everything, slice(width // 2, width))
    yield "first rows' half", (slice(0, height // 2), everything)
    yield "last rows' half", (slice(height // 2, height), everything)
    for index in range(3):
        yield f"third {index + 1}", (everything, slice(index * width // 3, (index + 1) * width // 3))


def _middle(region: Region, shape: tuple[int, ...], pixel_size_angstrom: float) -> tuple[float, float]:
    """Return where a region's middle lies (y, x) from the image's, Å."""
    ends = [part.indices(side)[:2] for part, side in zip(region, shape, strict=True)]
    y, x = ((first + last - side) / 2 * pixel_size_angstrom for (first, last), side in zip(ends, shape, strict=True))
    return y, x
