"""How an exposure was taken, put together from flags, configuration, sidecars and the movie's header."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from preprocess.errors import AcquisitionConflict
from preprocess.sidecars import Sidecar, SidecarUnreadableError, find_sidecars, read_sidecar

if TYPE_CHECKING:  # commands read this module for their options: it must stay light
    from preprocess.movies.movie import Movie

_log = logging.getLogger(__name__)

_PIXEL_SIZE_TOLERANCE = 0.01
_SUPER_RESOLUTION_RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)
_DOSE_FIELDS = ("dose_per_frame_e_per_a2", "total_dose_e_per_a2", "frame_doses_e_per_a2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """How an exposure was taken. None: unknown.

    `pixel_size_angstrom` is of the movie as recorded. `frame_doses_e_per_a2` has every frame's dose where these
    are unequal; the dose per frame is then their mean. `defocus_angstrom` is the intended one; underfocus is positive.
    `sources` says for each known field where it came from (`flag`, `configuration`, `epu-xml`, `mdoc`, `header`,
    `default`).
    """

    pixel_size_angstrom: float | None = None
    voltage_kv: float | None = None
    cs_mm: float | None = None
    amplitude_contrast: float | None = None
    magnification: float | None = None
    dose_per_frame_e_per_a2: float | None = None
    total_dose_e_per_a2: float | None = None
    frame_doses_e_per_a2: tuple[float, ...] | None = None
    pre_exposure_e_per_a2: float | None = None
    defocus_angstrom: float | None = None
    sources: dict[str, str] = field(default_factory=dict)


_NOTHING = Acquisition()
_DEFAULTS = Acquisition(cs_mm=2.7, amplitude_contrast=0.1, pre_exposure_e_per_a2=0.0)


def resolve_acquisition(
    movie: Movie,
    *,
    flags: Acquisition = _NOTHING,
    configured: Acquisition = _NOTHING,
    sidecars: Sequence[Sidecar] | None = None,
) -> Acquisition:
    """Return how a movie was taken: flags, configuration, sidecars, the movie's header, defaults, in this order.

    A total dose is divided among the frames. An unknown value stays None; code that needs it raises an error.

    Parameters
    ----------
    movie
        The opened movie.
    flags, configured
        What the user says, on the command line and in the configuration.
    sidecars
        What the files beside the movie say; None: `read_sidecars(movie)`.

    Raises
    ------
    AcquisitionConflict
        Sidecars and header disagree about the pixel size by more than 1 %, or a sidecar's image is not the movie's, and
        the user does not decide; or the user's total dose and dose per frame contradict. The text names both.
    """
    found = read_sidecars(movie) if sidecars is None else sidecars
    user_says_pixel_size = (flags.pixel_size_angstrom or configured.pixel_size_angstrom) is not None
    levels = [("flag", flags), ("configuration", configured)]
    levels += [(sidecar.source, _from_sidecar(sidecar, movie, user_says_pixel_size)) for sidecar in found]
    levels += [("header", _from_header(movie)), ("default", _DEFAULTS)]
    if not user_says_pixel_size:
        _refuse_conflicting_pixel_sizes(movie, levels)
    frames_in_total: dict[str, int | None] = {
        sidecar.source: sidecar.frame_count for sidecar in found if movie.format != "eer"
    }
    with_doses = []
    for source, level in levels:
        user_said = source in {"flag", "configuration"}
        frames = frames_in_total.get(source)
        with_doses.append((source, _with_dose_per_frame(level, movie, frames, user_said=user_said)))
    return _first_known(with_doses, movie)


def read_sidecars(movie: Movie, on_unusable: Callable[[str], None] = lambda _why: None) -> list[Sidecar]:
    """Return what the files beside a movie say about it.

    One that is cut off, or not what its name says, is left out and logged; `on_unusable` is told which and why.
    """
    found = []
    for path in find_sidecars(movie.path):
        try:
            sidecar = read_sidecar(path, movie.path)
        except SidecarUnreadableError as error:
            _log.warning("%s; its values are not used", error)
            on_unusable(str(error))
            continue
        if sidecar is not None:
            found.append(sidecar)
    return found


def _from_sidecar(sidecar: Sidecar, movie: Movie, user_says_pixel_size: bool) -> Acquisition:
    doses = sidecar.frame_doses_e_per_a2
    if doses is not None and len(doses) != movie.frame_count:
        _log.warning(
            "%s lists the doses of %d frames, but the movie has %d; they are not used",
            sidecar.path,
            len(doses),
            movie.frame_count,
        )
        doses = None
    return Acquisition(
        pixel_size_angstrom=None if user_says_pixel_size else _pixel_size_of_movie(sidecar, movie),
        voltage_kv=sidecar.voltage_kv,
        magnification=sidecar.magnification,
        dose_per_frame_e_per_a2=sum(doses) / len(doses) if doses else sidecar.dose_per_frame_e_per_a2,
        frame_doses_e_per_a2=doses,
        total_dose_e_per_a2=sidecar.total_dose_e_per_a2,
        defocus_angstrom=sidecar.defocus_angstrom,
    )


def _pixel_size_of_movie(sidecar: Sidecar, movie: Movie) -> float | None:
    """Return a sidecar's pixel size scaled to the movie: at Binning 2, EPU writes that of the binned image."""
    height, width = sidecar.image_height_px, sidecar.image_width_px
    if sidecar.pixel_size_angstrom is None or not height or not width:
        return sidecar.pixel_size_angstrom
    for ratio in _SUPER_RESOLUTION_RATIOS:
        if sorted((movie.height, movie.width)) == sorted((round(height * ratio), round(width * ratio))):
            return sidecar.pixel_size_angstrom / ratio
    raise AcquisitionConflict(
        f"{sidecar.path} describes an image of {height} x {width} px (height x width),"
        f" {movie.path.name} has {movie.height} x {movie.width} px, so the movie's pixel size is not known",
        hint="Give the pixel size of the movie with --pixel-size.",
    )


def _from_header(movie: Movie) -> Acquisition:
    return Acquisition(
        pixel_size_angstrom=movie.header_pixel_size_angstrom, total_dose_e_per_a2=movie.header_total_dose_e_per_a2
    )


def _refuse_conflicting_pixel_sizes(movie: Movie, levels: list[tuple[str, Acquisition]]) -> None:
    known = [(source, level.pixel_size_angstrom) for source, level in levels if level.pixel_size_angstrom is not None]
    for source, pixel_size in known[1:]:
        first_source, first = known[0]
        if abs(pixel_size - first) > _PIXEL_SIZE_TOLERANCE * first:
            raise AcquisitionConflict(
                f"{movie.path}: the pixel size is {first:.4g} Å by its {first_source}"
                f" and {pixel_size:.4g} Å by its {source}",
                hint="Give the right pixel size with --pixel-size.",
            )


def _with_dose_per_frame(
    level: Acquisition, movie: Movie, frames_in_total: int | None, *, user_said: bool
) -> Acquisition:
    """Return a level that says the dose either for each frame or not at all."""
    per_frame, total = level.dose_per_frame_e_per_a2, level.total_dose_e_per_a2
    if total is None or (per_frame is not None and not user_said):
        return level
    # A total is the whole file's: of EER's hardware frames, those left out have had their part too.
    share = movie.hardware_frames_per_frame / movie.recorded_frame_count
    divided = total / frames_in_total if frames_in_total else total * share
    if per_frame is not None and abs(divided - per_frame) > 0.01 * per_frame:
        raise AcquisitionConflict(
            f"{movie.path}: {per_frame:g} e/Å² for each frame and {total:g} e/Å² in all contradict each other",
            hint="Give only one of --dose-per-frame and --total-dose.",
        )
    return replace(level, dose_per_frame_e_per_a2=per_frame or divided)


def _first_known(levels: list[tuple[str, Acquisition]], movie: Movie) -> Acquisition:
    values: dict[str, float] = {}
    sources: dict[str, str] = {}
    frame_doses: tuple[float, ...] | None = None
    per_frame, total, doses = _DOSE_FIELDS
    for name in (each.name for each in fields(Acquisition) if each.name not in {"sources", total, doses}):
        for source, level in levels:
            value = getattr(level, name)
            if value is not None:
                values[name], sources[name] = value, source
                if name == per_frame:
                    frame_doses = level.frame_doses_e_per_a2
                break
    if per_frame in values:
        values[total], sources[total] = values[per_frame] * movie.frame_count, sources[per_frame]
    if frame_doses is not None:
        sources[doses] = sources[per_frame]
    return Acquisition(**values, frame_doses_e_per_a2=frame_doses, sources=sources)
