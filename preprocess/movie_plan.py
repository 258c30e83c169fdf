"""What would become of a movie, by its headers and the files beside it alone: for `--dry-run`.

It takes the steps that an alignment takes before it reads frames, and goes on where one of them fails, so that all that
is known is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from preprocess.errors import GainMismatch, PreprocessError
from preprocess.exposure.acquisition import Acquisition, read_sidecars, resolve_acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.exposure.exposure_dose import exposure_dose, require_known
from preprocess.gains.choosing import DatedFile
from preprocess.gains.image_shapes import ImageShapes, shapes_of_gain
from preprocess.gains.missing import miss_gain
from preprocess.gains.need import GainNeed, judge_counts
from preprocess.movie_warning import MovieWarning
from preprocess.movies import Movie, open_movie
from preprocess.movies.frame_groups import used_frames
from preprocess.movies.stored_frames import StoredFrames
from preprocess.settings import AlignmentSettings
from preprocess.sidecars import Sidecar

NEEDS_A_DECISION = 2
"""Exit code of errors that a person must decide about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanProblem:
    """Why a movie could not be aligned, and what to do."""

    text: str
    hint: str
    exit_code: int

    @property
    def is_for_person(self) -> bool:
        """Return whether a person must decide something; otherwise the movie itself is the reason."""
        return self.exit_code == NEEDS_A_DECISION

    @classmethod
    def of(cls, error: PreprocessError) -> Self:
        """Return what an error says."""
        return cls(text=str(error), hint=error.hint, exit_code=error.exit_code)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFrames:
    """A movie's frames; `first` and `last` of those that would be used count from 1. None: no frame would be."""

    format: str
    width_px: int
    height_px: int
    number_type: str
    count: int
    hardware_frames_per_frame: int
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedGain:
    """The gain reference that would be used, how it was found, and how it would be turned; path None: none.

    `need` says whether the movie needs one, and `why` how that is known.
    """

    path: Path | None
    found_by: str
    turned: str
    need: str
    why: str


@dataclass(slots=True, kw_only=True)
class MoviePlan:
    """All that is known about a movie, and what stands against its alignment; None: that could not be found out.

    `awaited_gain` is where a gain reference is to be that a sidecar names and that is not there.
    """

    movie: Path
    frames: PlannedFrames | None = None
    acquisition: Acquisition | None = None
    dose_per_frame_e_per_a2: float | None = None
    total_dose_e_per_a2: float | None = None
    gain: PlannedGain | None = None
    defects: Path | None = None
    awaited_gain: Path | None = None
    warnings: tuple[str, ...] = ()
    problems: tuple[PlanProblem, ...] = ()

    @property
    def misses_gain(self) -> bool:
        """Return whether the movie needs a gain reference, none was found, and the user does not say that none is."""
        gain = self.gain
        return gain is not None and gain.path is None and not gain.found_by and gain.need == GainNeed.NEEDED


class MoviePlanner:
    """Plans many movies; what it learns about gain references it keeps."""

    def __init__(self) -> None:
        self._shapes = ImageShapes()

    def plan(self, movie_path: Path, chosen: ChosenAlignment) -> MoviePlan:
        """Return what would become of a movie.

        Parameters
        ----------
        chosen
            How it would be aligned, with the gain reference that was found for it.
        """
        plan = MoviePlan(movie=movie_path, defects=chosen.settings.defects.path)
        found, settings = list[MovieWarning](), chosen.settings
        movie = _tried(plan, lambda: open_movie(movie_path, settings.eer, threads=1))
        if movie is None:
            return plan
        unusable = list[str]()
        sidecars = read_sidecars(movie, unusable.append)
        found += [MovieWarning("sidecar-unusable", f"{why}; its values are not used") for why in unusable]
        _tried(plan, lambda: self._plan_gain(plan, movie, sidecars, settings, found))
        _tried(plan, lambda: _plan_frames(plan, movie, settings))
        _tried(plan, lambda: _plan_exposure(plan, movie, sidecars, chosen, unusable, found))
        plan.warnings = tuple(warning.text for warning in (*found, *movie.remarks))
        return plan

    def _plan_gain(
        self,
        plan: MoviePlan,
        movie: Movie,
        sidecars: list[Sidecar],
        settings: AlignmentSettings,
        found: list[MovieWarning],
    ) -> None:
        gain, frames = settings.gain, StoredFrames.of(movie)
        judged = judge_counts(movie.path, frames, sidecars)
        by = gain.found_by or ("it was named" if gain.path is not None else "--gain none" if gain.absent else "")
        plan.gain = PlannedGain(
            path=gain.path, found_by=by, turned=_turned(settings), need=str(judged.need), why=judged.why
        )
        if gain.path is not None:
            _tried(plan, lambda: self._refuse_unfit(gain.path, movie, frames))
        miss_gain(gain, movie, sidecars, lambda warning: found.append(_without_the_reason(warning, judged.why)))

    def _refuse_unfit(self, gain: Path | None, movie: Movie, frames: StoredFrames) -> None:
        """Refuse a gain reference whose header says that it does not fit; what cannot be told is not refused."""
        assert gain is not None
        try:
            image = DatedFile.of(gain)
            shape = self._shapes.shape(image)
            is_stack = shape is not None and self._shapes.is_stack(image)
        except OSError as error:
            raise GainMismatch(f"gain reference {gain} cannot be read: {error.strerror or error}") from error
        if shape is None:
            raise GainMismatch(f"gain reference {gain} cannot be read: it is cut off, damaged, or no image")
        if is_stack:
            raise GainMismatch(
                f"gain reference {gain} holds several images: it is a stack or a movie",
                hint="Give the gain reference itself, a file of one image.",
            )
        if shape not in shapes_of_gain(frames) and (2 * shape[0], 2 * shape[1]) != (movie.height, movie.width):
            raise GainMismatch(
                f"gain reference {gain} is {shape[1]} x {shape[0]} px (width x height), but the movie"
                f" {movie.path.name} is {movie.width} x {movie.height} px"
            )


def _without_the_reason(warning: MovieWarning, why: str) -> MovieWarning:
    """Return the warning as it will be, without what the plan says already."""
    text = warning.text.replace("it was aligned", "it would be aligned").replace(f", but {why}", "")
    return replace(warning, text=text)


def _tried(plan: MoviePlan, step: Callable[[], Any]) -> Any:
    """Take a step; what it is refused for becomes a problem of the plan."""
    try:
        return step()
    except PreprocessError as error:
        plan.problems = (*plan.problems, PlanProblem.of(error))
        return None


def _plan_frames(plan: MoviePlan, movie: Movie, settings: AlignmentSettings) -> None:
    plan.frames = PlannedFrames(
        format=movie.format,
        width_px=movie.width,
        height_px=movie.height,
        number_type=str(movie.dtype),
        count=movie.frame_count,
        hardware_frames_per_frame=movie.hardware_frames_per_frame,
    )
    used = used_frames(settings.frames, movie.frame_count)
    plan.frames = replace(plan.frames, first=used.start + 1, last=used.stop)


def _plan_exposure(
    plan: MoviePlan,
    movie: Movie,
    sidecars: list[Sidecar],
    chosen: ChosenAlignment,
    unusable: list[str],
    found: list[MovieWarning],
) -> None:
    known = resolve_acquisition(
        movie, flags=chosen.flags, configured=chosen.configured, sidecars=sidecars, warn=found.append
    )
    plan.acquisition = known
    dose = exposure_dose(known, movie.frame_count)
    if dose is not None:
        plan.dose_per_frame_e_per_a2 = dose.per_frame_e_per_a2
        plan.total_dose_e_per_a2 = float(dose.after_frame[-1]) - dose.pre_exposure_e_per_a2
    require_known(known, dose, dose_weighting=chosen.settings.dose_weighting, unusable=unusable)


def _turned(settings: AlignmentSettings) -> str:
    """Return how a gain reference is turned, in words."""
    gain = settings.gain
    if gain.path is None:
        return ""
    turns = [f"rotated by {gain.rotate_degrees} degrees"] if gain.rotate_degrees else []
    turns += [f"flipped in {gain.flip}"] if gain.flip != "none" else []
    said = " and ".join(turns) or "as it lies"
    return said if gain.orientation == "given" else f"{said}, unless the movies show another orientation"
