"""How an exposure was taken, put together from flags, configuration, sidecars and the movie's header."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from preprocess.errors import AcquisitionConflict
from preprocess.exposure.plausible import DOSE_TOLERANCE, LIMITED, USER, Warn, believed, warn_of_contradictions
from preprocess.movie_warning import MovieWarning
from preprocess.sidecars import Sidecar, SidecarUnreadableError, find_sidecars, read_sidecar, tilt_by_name

if TYPE_CHECKING:  # commands read this module for their options: it must stay light
    from preprocess.movies.movie import Movie

_log = logging.getLogger(__name__)

_PIXEL_SIZE_TOLERANCE = 0.01
_SUPER_RESOLUTION_RATIOS = (0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
_CROPPED_SHARE = 0.025
_DOSE_FIELDS = ("dose_per_frame_e_per_a2", "total_dose_e_per_a2", "frame_doses_e_per_a2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """How an exposure was taken. None: unknown.

    `pixel_size_angstrom` is of the movie as recorded. `frame_doses_e_per_a2` has every frame's dose where these
    are unequal; the dose per frame is then their mean. `defocus_angstrom` is the intended one; underfocus is positive.
    `sources` says for each known field where it came from (`flag`, `configuration`, `epu-xml`, `mdoc`, `name`,
    `header`, `default`).
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
DEFAULTS = Acquisition(cs_mm=2.7, amplitude_contrast=0.1, pre_exposure_e_per_a2=0.0)


def assumed_optics(known: Acquisition) -> str:
    """Return a sentence about the values that a CTF was estimated with and nobody gave; empty if there are none."""
    units = {"cs_mm": ("Cs {:g} mm", "--cs"), "amplitude_contrast": ("amplitude contrast {:g}", "--amplitude-contrast")}
    assumed = [name for name in units if known.sources.get(name) == "default"]
    if not assumed:
        return ""
    values = " and ".join(units[name][0].format(getattr(known, name)) for name in assumed)
    options = " and ".join(units[name][1] for name in assumed)
    return f"the CTF is estimated with {values}, which nobody gave: give {options} if that is wrong"


def resolve_acquisition(
    movie: Movie,
    *,
    flags: Acquisition = _NOTHING,
    configured: Acquisition = _NOTHING,
    sidecars: Sequence[Sidecar] | None = None,
    warn: Warn = lambda warning: _log.warning("%s", warning),
) -> Acquisition:
    """Return how a movie was taken: flags, configuration, sidecars, the movie's header, defaults, in this order.

    A total dose is divided among the frames that were recorded. An unknown value stays None; code that needs it raises
    an error. What a sidecar or header says and cannot be true is not used.

    Parameters
    ----------
    movie
        The opened movie.
    flags, configured
        What the user says, on the command line and in the configuration.
    sidecars
        What the files beside the movie say; None: `read_sidecars(movie)`.
    warn
        Told what a person should know.

    Raises
    ------
    AcquisitionImplausible
        The user says what cannot be true.
    AcquisitionConflict
        Sidecars and header disagree about the pixel size by more than 1 %, or a sidecar's image is not the movie's, and
        the user does not decide; or the user's total dose and dose per frame contradict. The text names both.
    """
    found = _without_second_pixel_sizes(read_sidecars(movie) if sidecars is None else sidecars)
    users_pixel_size = flags.pixel_size_angstrom or configured.pixel_size_angstrom
    user_says_pixel_size = users_pixel_size is not None
    levels = [("flag", flags), ("configuration", configured)]
    levels += [(sidecar.source, _from_sidecar(sidecar, movie, user_says_pixel_size, warn)) for sidecar in found]
    levels += [("header", _from_header(movie, users_pixel_size)), ("default", DEFAULTS)]
    levels = [(source, _as_believed(level, source, warn)) for source, level in levels]
    if not user_says_pixel_size:
        _refuse_conflicting_pixel_sizes(movie, levels)
    # A total is that of all frames recorded: those that are missing, or left out of EER's groups, had their part too.
    recorded = _recorded_frames(movie, found, warn)
    with_doses = [(source, _with_dose_per_frame(level, movie, recorded, source, warn)) for source, level in levels]
    by_machines = [(source, level) for source, level in with_doses if source not in USER]
    warn_of_contradictions(
        [(source, {name: getattr(level, name) for name in LIMITED}) for source, level in by_machines], warn
    )
    return _with_dose_before(_first_known(with_doses, movie), movie, found, recorded, warn)


def _without_second_pixel_sizes(sidecars: Sequence[Sidecar]) -> list[Sidecar]:
    """Return sidecars where a tilt series says the pixel size only if none before it does: it is that of its sums."""
    found, is_said = list[Sidecar](), False
    for each in sidecars:
        found.append(replace(each, pixel_size_angstrom=None) if is_said and each.recording.tilt_series else each)
        is_said = is_said or each.pixel_size_angstrom is not None
    return found


def _with_dose_before(
    known: Acquisition, movie: Movie, sidecars: Sequence[Sidecar], recorded_frames: float, warn: Warn
) -> Acquisition:
    """Return the acquisition of a tilt with the dose of those before it, unless somebody says that dose.

    It is counted in exposures like this one, so that it is right where the user corrects the dose.
    """
    if known.sources["pre_exposure_e_per_a2"] != "default" or not known.dose_per_frame_e_per_a2:
        return known
    dose = known.dose_per_frame_e_per_a2 * recorded_frames
    count = next((each.prior_exposures for each in sidecars if each.prior_exposures is not None), None)
    source, tilt = "mdoc", tilt_by_name(movie.path)
    if count is None and tilt is not None:
        source, count = "name", tilt.number - 1.0
        if count > 0:
            text = (
                f"no mdoc tells the dose before this tilt; by its number it is that of {count:g} exposures like this"
                f" one, {count * dose:.4g} e/Å²: give the right one with --pre-exposure"
            )
            warn(MovieWarning("prior-dose-assumed", text))
    if count is None:
        return known
    before = believed({"pre_exposure_e_per_a2": count * dose}, source, warn)["pre_exposure_e_per_a2"]
    sources = known.sources | {"pre_exposure_e_per_a2": source}
    return known if before is None else replace(known, pre_exposure_e_per_a2=before, sources=sources)


def _as_believed(level: Acquisition, source: str, warn: Warn) -> Acquisition:
    values: dict[str, Any] = {name: getattr(level, name) for name in LIMITED}
    values.update(believed(values, source, warn))
    return replace(level, **values)


def _recorded_frames(movie: Movie, sidecars: Sequence[Sidecar], warn: Warn) -> float:
    """Return how many frames the camera recorded, by the file or, if it names more, by a sidecar."""
    if movie.format == "eer":  # sidecars count in units of their own
        return movie.recorded_frame_count / movie.hardware_frames_per_frame
    recorded = movie.frame_count
    for sidecar in sidecars:
        named = sidecar.frame_count
        if named is None or named == movie.frame_count:
            continue
        recorded = max(recorded, named)
        lost = "copy the movie from the microscope again" if named > movie.frame_count else "check which is right"
        text = f"{sidecar.path.name} names {named} frames, but the movie has {movie.frame_count}: {lost}"
        warn(MovieWarning("frame-count-differs", text))
    return recorded


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


def _from_sidecar(sidecar: Sidecar, movie: Movie, user_says_pixel_size: bool, warn: Warn) -> Acquisition:
    for remark in sidecar.remarks:
        warn(MovieWarning("sidecar-doubtful", f"{sidecar.path.name}: {remark}"))
    doses = sidecar.frame_doses_e_per_a2
    if doses is not None and len(doses) != movie.frame_count:
        text = (
            f"{sidecar.path.name} lists the doses of {len(doses)} frames, but the movie has {movie.frame_count};"
            " they are not used"
        )
        warn(MovieWarning("frame-doses-not-used", text))
        doses = None
    return Acquisition(
        pixel_size_angstrom=None if user_says_pixel_size else _pixel_size_of_movie(sidecar, movie),
        voltage_kv=sidecar.voltage_kv,
        magnification=sidecar.magnification,
        dose_per_frame_e_per_a2=sum(doses) / len(doses) if doses else sidecar.dose_per_frame_e_per_a2,
        frame_doses_e_per_a2=doses,
        total_dose_e_per_a2=sidecar.total_dose_e_per_a2,
        pre_exposure_e_per_a2=sidecar.pre_exposure_e_per_a2,
        defocus_angstrom=sidecar.defocus_angstrom,
    )


def _pixel_size_of_movie(sidecar: Sidecar, movie: Movie) -> float | None:
    """Return a sidecar's pixel size scaled to the movie: it is that of an image which may be binned.

    SerialEM crops binned images a little, so that sizes need not divide without remainder.
    """
    height, width = sidecar.image_height_px, sidecar.image_width_px
    if sidecar.pixel_size_angstrom is None or not height or not width:
        return sidecar.pixel_size_angstrom
    for ratio in _SUPER_RESOLUTION_RATIOS:
        sides = zip(sorted((movie.height, movie.width)), sorted((height * ratio, width * ratio)), strict=True)
        if all(abs(side - wanted) <= _CROPPED_SHARE * side for side, wanted in sides):
            return sidecar.pixel_size_angstrom / ratio
    raise AcquisitionConflict(
        f"{sidecar.path} describes an image of {height} x {width} px (height x width),"
        f" {movie.path.name} has {movie.height} x {movie.width} px, so the movie's pixel size is not known",
        hint="Give the pixel size of the movie with --pixel-size.",
    )


def _from_header(movie: Movie, users_pixel_size: float | None) -> Acquisition:
    """Return what a header says; it counts electrons a pixel, whose size the user may know better."""
    pixel_size, dose = movie.header_pixel_size_angstrom, movie.header_total_dose_e_per_a2
    if users_pixel_size is None:
        return Acquisition(pixel_size_angstrom=pixel_size, total_dose_e_per_a2=dose)
    if dose is not None and pixel_size is not None:
        dose *= (pixel_size / users_pixel_size) ** 2
    return Acquisition(total_dose_e_per_a2=dose)


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
    level: Acquisition, movie: Movie, recorded_frames: float, source: str, warn: Warn
) -> Acquisition:
    """Return a level that says the dose either for each frame or not at all."""
    per_frame, total = level.dose_per_frame_e_per_a2, level.total_dose_e_per_a2
    if total is None:
        return level
    divided = total / recorded_frames
    if per_frame is not None and source not in USER:
        if movie.format != "eer" and abs(divided - per_frame) > DOSE_TOLERANCE * max(divided, per_frame):
            text = (
                f"the {source} contradicts itself: {per_frame:.4g} e/Å² for each frame, {total:.4g} e/Å² in all, which"
                f" is {divided:.4g} e/Å² for each of {recorded_frames:g} frames; the former is used:"
                " give the right one with --dose-per-frame"
            )
            warn(MovieWarning("sources-differ", text))
        return level
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
