"""Everything that is decided before a movie's frames are read; movies that cannot be aligned are refused here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.whole_frame import estimation_bin
from preprocess.errors import UnreadableMovie
from preprocess.exposure.acquisition import Acquisition, read_sidecars, resolve_acquisition
from preprocess.exposure.dose import DoseWeights, critical_dose_scale, low_rank_weights, plain_weights
from preprocess.exposure.exposure_dose import (
    ExposureDose,
    exposure_dose,
    require_known,
)
from preprocess.gains.missing import miss_gain
from preprocess.made_from import MadeFrom, made_from
from preprocess.movie_warning import MovieWarning
from preprocess.movies import Movie, open_movie
from preprocess.movies.frame_groups import FrameGroups, used_frames
from preprocess.outputs.output_names import output_paths, refuse_to_write_over
from preprocess.pipeline.ctf_input import CtfInput, frame_groups
from preprocess.pipeline.power_spectrum import spectrum_groups
from preprocess.settings import AlignmentSettings
from preprocess.sidecars import Recording, first_known, recording_by_name


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedMovie:
    """A movie whose headers are read and whose settings and acquisition fit together.

    Attributes
    ----------
    used : range
        Indices of the frames to use, from 0.
    groups : FrameGroups
        How they are added up to estimate motion.
    weights : DoseWeights
        Of the micrograph's frames.
    ctf_input : CtfInput | None
        What the CTF is estimated from; None: it is not.
    spectrum_groups : NDArray[np.float32]
        Which frames are in each sum of the power spectrum that is written, shape (sums, frames); no sum: none is.
    warnings : tuple[MovieWarning, ...]
        What a person should know already.
    """

    movie: Movie
    made_from: MadeFrom
    settings: AlignmentSettings
    acquisition: Acquisition
    recording: Recording
    pixel_size_angstrom: float
    used: range
    groups: FrameGroups
    dose: ExposureDose | None
    weights: DoseWeights
    ctf_input: CtfInput | None
    spectrum_groups: NDArray[np.float32]
    warnings: tuple[MovieWarning, ...]

    @property
    def sum_count(self) -> int:
        """Return how many weighted sums of the frames are accumulated at once."""
        of_ctf = 0 if self.ctf_input is None else len(self.ctf_input.groups)
        plain = self.settings.unweighted + 2 * self.settings.even_odd + len(self.spectrum_groups)
        return len(self.weights.frame_weights) + plain + of_ctf

    def without(self, kept: NDArray[np.int64], unexposed: Collection[int]) -> PreparedMovie:
        """Return the movie with the dose and the weights that it has when only some of the used frames are summed.

        `unexposed` are the places, among the used frames, of those that have no dose.
        """
        indices = [self.used[place] for place in unexposed]
        dose = exposure_dose(self.acquisition, self.movie.frame_count, self.used, indices)
        after = None if dose is None else dose.after_frame[kept]
        weights, _ = _weights(len(kept), self.settings, self.acquisition, after, self.pixel_size_angstrom)
        ctf_input = _ctf_input(len(kept), self.settings, self.acquisition, after, self.pixel_size_angstrom)
        groups = _spectrum_groups(len(kept), self.settings, dose)
        return replace(self, dose=dose, weights=weights, ctf_input=ctf_input, spectrum_groups=groups)

    @property
    def frame_doses(self) -> NDArray[np.float64] | None:
        """Return the doses of the used frames where each one's is known, e/Å²."""
        listed = self.acquisition.frame_doses_e_per_a2
        if not listed or min(listed) <= 0:
            return None
        return np.array(listed[self.used.start : self.used.stop])

    @property
    def estimation_bin(self) -> int:
        """Return by how much frames are binned to estimate motion."""
        return estimation_bin(self.movie.height, self.movie.width)


def prepare_movie(
    movie_path: Path, out_dir: Path, settings: AlignmentSettings, acquisition: Acquisition, configured: Acquisition
) -> PreparedMovie:
    """Open a movie and decide everything that its header and the settings decide.

    Raises
    ------
    PreprocessError
        The movie cannot be read, an output would replace what it is made from, or something must be known that
        is given nowhere, such as a gain reference that is required.
    """
    for source in (movie_path, settings.gain.path, settings.defects.path):
        if source is not None:
            refuse_to_write_over(source, output_paths(movie_path, out_dir).values())
    movie = open_movie(movie_path, settings.eer, threads=settings.threads)
    unusable = list[str]()
    sidecars = read_sidecars(movie, unusable.append)
    found = [MovieWarning("sidecar-unusable", f"{why}; its values are not used") for why in unusable]
    miss_gain(settings.gain, movie, sidecars, found.append)
    known = resolve_acquisition(movie, flags=acquisition, configured=configured, sidecars=sidecars, warn=found.append)
    used = used_frames(settings.frames, movie.frame_count)
    groups = FrameGroups.of(len(used), settings.frames.group)
    dose = exposure_dose(known, movie.frame_count, used)
    pixel_size = require_known(known, dose, dose_weighting=settings.dose_weighting, unusable=unusable)
    after = None if dose is None else dose.after_frame
    weights, warnings = _weights(len(used), settings, known, after, pixel_size)
    return PreparedMovie(
        movie=movie,
        made_from=_made_from(movie_path, settings, acquisition, configured),
        settings=settings,
        acquisition=known,
        recording=first_known([*(sidecar.recording for sidecar in sidecars), recording_by_name(movie_path)]),
        pixel_size_angstrom=pixel_size,
        used=used,
        groups=groups,
        dose=dose,
        weights=weights,
        ctf_input=_ctf_input(len(used), settings, known, after, pixel_size),
        spectrum_groups=_spectrum_groups(len(used), settings, dose),
        warnings=(*found, *warnings),
    )


def _made_from(
    movie_path: Path, settings: AlignmentSettings, acquisition: Acquisition, configured: Acquisition
) -> MadeFrom:
    try:
        return made_from(movie_path, settings, acquisition, configured)
    except OSError as error:
        where = error.filename or movie_path
        raise UnreadableMovie(
            f"{where}: {error.strerror or error}", hint="Check the path and its permissions."
        ) from error


def _weights(
    frame_count: int,
    settings: AlignmentSettings,
    known: Acquisition,
    doses: NDArray[np.float64] | None,
    pixel_size: float,
) -> tuple[DoseWeights, tuple[MovieWarning, ...]]:
    if not settings.dose_weighting or doses is None or known.voltage_kv is None:
        return plain_weights(frame_count), ()
    voltage = known.voltage_kv
    scale, interpolated = critical_dose_scale(voltage)
    warnings: tuple[MovieWarning, ...] = ()
    if interpolated:
        text = (
            f"dose weighting at {voltage:g} kV: the scale of the critical dose is only defined at 100, 200 and 300 kV; "
            f"{scale:.3g} is used, interpolated between them"
        )
        warnings = (MovieWarning("voltage-interpolated", text),)
    return low_rank_weights(doses, pixel_size, voltage), warnings


def _spectrum_groups(frame_count: int, settings: AlignmentSettings, dose: ExposureDose | None) -> NDArray[np.float32]:
    if not settings.power_spectrum:
        return np.zeros((0, frame_count), np.float32)
    return spectrum_groups(frame_count, None if dose is None else dose.per_frame_e_per_a2)


def _ctf_input(
    frame_count: int,
    settings: AlignmentSettings,
    known: Acquisition,
    after_frame: NDArray[np.float64] | None,
    pixel_size: float,
) -> CtfInput | None:
    """Return what the CTF is estimated from; None if it is not wanted, or nobody knows the voltage."""
    if not settings.ctf.wanted or known.voltage_kv is None:
        return None
    groups = np.zeros((0, frame_count), np.float32)
    if settings.ctf.group_dose_e_per_a2 is not None and after_frame is not None and frame_count > 1:
        doses = np.diff(after_frame, prepend=2 * after_frame[0] - after_frame[1])
        groups = frame_groups(doses, settings.ctf.group_dose_e_per_a2)
    return CtfInput(pixel_size, groups)
