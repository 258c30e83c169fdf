"""SerialEM's mdoc beside a movie.

A reader of our own, because a sidecar may be half-written, and because SerialEM's keys vary with its version: what is
not known is left alone.
"""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from preprocess.sidecars.mdoc_sections import mdoc_at, section_of, time_of
from preprocess.sidecars.recording import Recording
from preprocess.sidecars.sidecar import Sidecar, SidecarUnreadableError, number, pair, positive
from preprocess.sidecars.tilt_series import exposures_before, series_name, tilt_axis_degrees, tilts_of

_OF_FRAMES = "frameset"
MOST_FRAMES = 100_000
"""More than any movie has: a larger count is no count."""


def read_mdoc(path: Path, movie: Path) -> Sidecar:
    """Return what an mdoc says about a movie: from the section that names it, or the only section.

    Raises
    ------
    SidecarUnreadableError
        The file holds no `key = value` line, or a part of it was never written.
    """
    mdoc = mdoc_at(path)
    head, sections = mdoc.head, mdoc.sections
    if not head and not sections:
        raise SidecarUnreadableError(f"{path}: it holds no values")
    section = section_of(movie, sections)
    remarks = [f"its last line is cut off, and not used: {mdoc.cut_off}"] if mdoc.cut_off else []
    if section is None and len(sections) > 1:
        remarks.append(f"none of its {len(sections)} sections names the movie")
    values = head | (section.values if section else {})
    size, prior = _image_size(values.get("ImageSize")), number(values.get("PriorRecordDose"))
    tilts = tilts_of(mdoc)
    is_tilt = any(tilt is section for tilt in tilts)
    before = exposures_before(tilts, section) if section is not None and is_tilt else None
    if prior == 0 and before:
        prior = None  # nobody counted
    doses = _frame_doses(values.get("FrameDosesAndNumber"))
    equal = len(set(doses)) == 1
    frames = len(doses) or positive(values.get("NumSubFrames"))
    return Sidecar(
        path=path,
        source="mdoc",
        pixel_size_angstrom=positive(values.get("PixelSpacing")),
        image_height_px=size[1],
        image_width_px=size[0],
        voltage_kv=positive(values.get("Voltage")),
        magnification=positive(values.get("Magnification")),
        dose_per_frame_e_per_a2=doses[0] if equal else None,
        total_dose_e_per_a2=positive(values.get("ExposureDose")),
        frame_doses_e_per_a2=None if equal or not doses else doses,
        pre_exposure_e_per_a2=None if prior is None or prior < 0 else prior,
        defocus_angstrom=_underfocus_angstrom(values),
        frame_count=int(frames) if frames else None,
        gain_reference=PureWindowsPath(values.get("GainReference", "")).name or None,
        defect_file=PureWindowsPath(values.get("DefectFile", "")).name or None,
        rotation_and_flip=_whole(values.get("RotationAndFlip")),
        is_of_frames=any(each.kind.lower() == _OF_FRAMES for each in sections),
        prior_exposures=before,
        recording=_recording(
            values, series_name(path, mdoc) if is_tilt else None, tilt_axis_degrees(mdoc) if is_tilt else None
        ),
        remarks=tuple(remarks),
    )


def _recording(values: dict[str, str], series: str | None, axis: float | None) -> Recording:
    stage, shift = pair(values.get("StagePosition")), pair(values.get("ImageShift"))
    return Recording(
        shutter_time=time_of(values.get("DateTime")),
        exposure_time_s=positive(values.get("ExposureTime")),
        stage_x_um=stage[0],
        stage_y_um=stage[1],
        tilt_angle_degrees=number(values.get("TiltAngle")),
        tilt_series=series,
        tilt_axis_degrees=axis,
        image_shift_x_um=shift[0],
        image_shift_y_um=shift[1],
    )


def _whole(text: str | None) -> int | None:
    value = number(text)
    return int(value) if value is not None and value == int(value) else None


def _image_size(text: str | None) -> tuple[int | None, int | None]:
    """Return width and height of the image that the mdoc is about, whose pixel size it gives; frames may have more."""
    width, height = pair(text)
    return (int(width), int(height)) if width and height and min(width, height) >= 1 else (None, None)


def _frame_doses(text: str | None) -> tuple[float, ...]:
    """Return each frame's e⁻/Å² of `dose count [dose count …]`; nothing where it makes no sense."""
    numbers = [number(part) for part in (text or "").split()]
    doses: list[float] = []
    for dose, count in zip(numbers[0::2], numbers[1::2], strict=False):
        if dose is None or count is None or dose < 0 or not 0 <= count <= MOST_FRAMES:
            return ()
        doses += [dose] * int(count)
    return tuple(doses) if any(doses) else ()


def _underfocus_angstrom(values: dict[str, str]) -> float | None:
    """Return the intended defocus as CTF programs count it: SerialEM's underfocus is negative, in micrometres."""
    defocus = number(values.get("TargetDefocus")) or number(values.get("Defocus"))
    return -defocus * 1e4 if defocus else None
