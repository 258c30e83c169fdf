"""A simulated movie: its frames, made one by one, and the truth about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.simulation import eer_writer, epu, writers
from preprocess.simulation.detector import HOT_PIXEL_COUNTS, Detector, make_detector
from preprocess.simulation.local_motion import LocalTerm, local_coefficients, local_terms
from preprocess.simulation.motion import whole_frame_shifts
from preprocess.simulation.settings import SimulationSettings
from preprocess.simulation.specimen import Particles, Specimen
from preprocess.simulation.spline_sampling import sample_cubic_spline

_LEAST_MARGIN_PX = 16
_STRIPE_ROWS = 32  # few enough for the processor's cache


@dataclass(frozen=True, slots=True)
class Truth:
    """What moved, and how far, in the orientation in which `open_movie` hands frames out.

    `shifts_yx_px` (frames, 2) is the content's displacement of the whole frame relative to the first, y before x, a
    mean over the frame's area; `local_coefficients_px` (frames, 2, terms) of `local_terms` add what differs from
    place to place. What is at place p of a frame was at p - displacement(p) in the first.
    """

    height: int
    width: int
    shifts_yx_px: NDArray[np.float64]
    local_coefficients_px: NDArray[np.float64]
    local_terms: tuple[LocalTerm, ...]

    def displacement(
        self, frame_index: int, y: float | NDArray[Any], x: float | NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the displacement (dy, dx) in px at rows y and columns x of a frame, relative to the first frame."""
        rows = np.asarray(y, np.float64) / self.height - 0.5
        columns = np.asarray(x, np.float64) / self.width - 0.5
        values = [term(rows, columns) for term in self.local_terms]
        moved = []
        for axis in (0, 1):
            weights = zip(self.local_coefficients_px[frame_index, axis], values, strict=True)
            moved.append(self.shifts_yx_px[frame_index, axis] + sum(weight * value for weight, value in weights))
        return moved[0], moved[1]


class SimulatedMovie:
    """A movie with known motion. Holds no frames: each is made when asked for, and always the same."""

    def __init__(self, settings: SimulationSettings) -> None:
        self.settings = settings
        self.truth = Truth(
            settings.height,
            settings.width,
            whole_frame_shifts(settings),
            local_coefficients(settings),
            local_terms(settings),
        )

    @cached_property
    def _specimen(self) -> Specimen:
        reach = np.abs(self.truth.shifts_yx_px).max() + np.abs(self.truth.local_coefficients_px).sum(axis=2).max()
        return Specimen(self.settings, _LEAST_MARGIN_PX + int(np.ceil(reach)))

    @cached_property
    def detector(self) -> Detector:
        """Return the camera."""
        return make_detector(self.settings)

    @property
    def gain(self) -> NDArray[np.float32] | None:
        """Return the multiplicative gain reference (height, width) as frames lie; zero = defect; None without."""
        return self.detector.gain

    @property
    def particles(self) -> Particles:
        """Return the particles, with their places in the first frame; some are outside of it."""
        found = self._specimen.particles
        return replace(found, centres_yx_px=found.centres_yx_px - self._specimen.margin_px)

    def expected(self, frame_index: int) -> NDArray[np.float32]:
        """Return the noise-free frame: electrons expected in each pixel of a perfect camera, shape (height, width)."""
        shift = self.truth.shifts_yx_px[frame_index]
        if self.settings.local_motion_px == 0:
            view = self._specimen.view(self._specimen.image(frame_index, (shift[0], shift[1])))
        else:
            view = self._warped_view(frame_index)
        expected: NDArray[np.float32] = np.maximum(0, (1 + view) * np.float32(self.settings.electrons_per_px_per_frame))
        return expected

    def noise_free(
        self, offset_y: NDArray[np.float64] | None = None, offset_x: NDArray[np.float64] | None = None
    ) -> NDArray[np.float32]:
        """Return the undamaged projection through the microscope's optics, as it was in the first frame.

        Relative contrast with mean zero, shape (height, width); the truth that micrographs are compared with. With
        offsets (height, width) in px, the image at place p shows what lies at p + offset(p).
        """
        if offset_y is None or offset_x is None:
            return self._specimen.view(self._specimen.image(None))
        coefficients = self._specimen.image(None, for_cubic_spline=True)
        return self._sampled(coefficients, lambda stripe: (offset_y[stripe], offset_x[stripe]))

    def frame(self, frame_index: int) -> NDArray[np.uint8]:
        """Return a frame's counts, shape (height, width), at most 255."""
        random = np.random.default_rng([self.settings.seed, 5, frame_index])
        expected = self.expected(frame_index)
        if self.detector.sensitivity is not None:
            expected *= self.detector.sensitivity
        counts = np.empty(expected.shape, np.uint8)
        for top in range(0, len(counts), 256):  # numpy draws 8 bytes for each pixel
            drawn = random.poisson(expected[top : top + 256])
            counts[top : top + 256] = np.minimum(drawn, 255)
        hot = self.detector.hot_pixels
        counts.reshape(-1)[hot] = np.minimum(random.poisson(HOT_PIXEL_COUNTS, hot.size), 255)
        return counts

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Yield all frames in order."""
        for index in range(self.settings.frame_count):
            yield self.frame(index)

    def write(self, path: Path, **options: Any) -> None:
        """Write the movie as its extension says; `options` go to `write_tiff`, `write_mrc` or `write_eer`."""
        extension = path.suffix.lower()
        frames, pixel_size = self.frames(), self.settings.pixel_size_angstrom
        if extension in {".tif", ".tiff"}:
            writers.write_tiff(path, frames, pixel_size_angstrom=pixel_size, **options)
        elif extension in {".mrc", ".mrcs"}:
            count = self.settings.frame_count
            writers.write_mrc(path, frames, frame_count=count, pixel_size_angstrom=pixel_size, **options)
        elif extension == ".eer":
            total = self.settings.electrons_per_px_per_frame * self.settings.frame_count
            eer_writer.write_eer(
                path,
                frames,
                pixel_size_angstrom=pixel_size,
                total_dose_e_per_px=total,
                seed=self.settings.seed,
                **options,
            )
        else:
            raise ValueError(f"{path}: movies are written as .tif, .tiff, .mrc, .mrcs or .eer")

    def write_gain(self, path: Path, *, movie_format: str) -> None:
        """Write the gain reference as a movie of that format wants it; see `write_gain`."""
        if self.gain is None:
            raise ValueError("a camera without gain has no gain reference")
        writers.write_gain(path, self.gain, movie_format=movie_format)

    def write_epu_xml(self, path: Path) -> None:
        """Write the sidecar that EPU lays beside a movie."""
        epu.write_epu_xml(path, self.settings)

    def write_truth(self, path: Path) -> None:
        """Write settings and motion as JSON: what an alignment is to be compared with."""
        document = {
            "orientation": "as frames are read: TIFF upside down, MRC and EER as stored",
            "settings": asdict(self.settings),
            "electrons_per_px_per_frame": self.settings.electrons_per_px_per_frame,
            "shifts_yx_px": np.round(self.truth.shifts_yx_px, 6).tolist(),
            "local_basis": [term.name for term in self.truth.local_terms],
            "local_coefficients_yx_px": np.round(self.truth.local_coefficients_px, 6).tolist(),
            "hot_pixels_yx": self._places(self.detector.hot_pixels),
            "dead_pixels_yx": self._places(self.detector.dead_pixels),
        }
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def _places(self, flat: NDArray[np.intp]) -> list[list[int]]:
        return [list(divmod(index, self.settings.width)) for index in flat.tolist()]

    def _warped_view(self, frame_index: int) -> NDArray[np.float32]:
        """Return what the camera sees when each place has moved by its own displacement.

        The field is evaluated where content arrives, which is how `Truth` defines it.
        """
        coefficients = self._specimen.image(frame_index, for_cubic_spline=True)
        columns = np.arange(self.settings.width, dtype=np.float64)[None, :]

        def offsets(stripe: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            rows = np.arange(stripe.start, stripe.stop, dtype=np.float64)[:, None]
            dy, dx = self.truth.displacement(frame_index, rows, columns)
            return -dy, -dx

        return self._sampled(coefficients, offsets)

    def _sampled(
        self,
        coefficients: NDArray[np.float32],
        offsets: Callable[[slice], tuple[NDArray[np.float64], NDArray[np.float64]]],
    ) -> NDArray[np.float32]:
        """Return the view with each pixel taken from its place plus the offset that `offsets` gives for its rows."""
        height, margin = self.settings.height, self._specimen.margin_px
        view = np.empty((height, self.settings.width), np.float32)
        for top in range(0, height, _STRIPE_ROWS):
            stripe = slice(top, min(top + _STRIPE_ROWS, height))
            offset_y, offset_x = offsets(stripe)
            sample_cubic_spline(coefficients, top + margin, margin, offset_y, offset_x, view[stripe])
        return view


def simulate_movie(settings: SimulationSettings) -> SimulatedMovie:
    """Return the movie that the settings describe; its frames are made when asked for."""
    return SimulatedMovie(settings)
