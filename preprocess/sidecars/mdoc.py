"""SerialEM's mdoc beside a movie.

A reader of our own, because a sidecar may be half-written, and because SerialEM's keys vary with its version: what is
not known is left alone.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from preprocess.input_files import read_small_text
from preprocess.sidecars.recording import Recording
from preprocess.sidecars.sidecar import Sidecar, SidecarUnreadableError, number, positive

_TIME = re.compile(r"(\d\d)-([A-Za-z]{3})-(\d\d|\d{4})\s+(\d\d):(\d\d):(\d\d)", re.ASCII)
_OF_FRAMES = "frameset"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERS = re.compile(r"[-+.\deE\s]*")
MOST_FRAMES = 100_000
"""More than any movie has: a larger count is no count."""


class Section(NamedTuple):
    """A section: its kind, such as `FrameSet` or `ZValue`, and its values by key."""

    kind: str
    values: dict[str, str]


def read_mdoc(path: Path, movie: Path) -> Sidecar:
    """Return what an mdoc says about a movie: from the section that names it, or the only section.

    Raises
    ------
    SidecarUnreadableError
        The file holds no `key = value` line, or a part of it was never written.
    """
    try:
        text = read_small_text(path)
    except OSError as error:
        raise SidecarUnreadableError(f"{path}: {error.strerror or error}") from error
    if "\0" in text:
        raise SidecarUnreadableError(f"{path}: a part of it was never written (it holds zero bytes)")
    text, cut_off = _without_cut_off_number(text)
    head, sections = parse_mdoc(text)
    if not head and not sections:
        raise SidecarUnreadableError(f"{path}: it holds no values")
    section = section_of(movie, sections)
    remarks = [f"its last line is cut off, and not used: {cut_off}"] if cut_off else []
    if section is None and len(sections) > 1:
        remarks.append(f"none of its {len(sections)} sections names the movie")
    values = head | (section or {})
    size, prior = _image_size(values.get("ImageSize")), number(values.get("PriorRecordDose"))
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
        recording=_recording(values, tilt_series=head.get("ImageFile") if section else None),
        remarks=tuple(remarks),
    )


def _recording(values: dict[str, str], tilt_series: str | None) -> Recording:
    """Return when and where; `tilt_series` is the file that the tilt series is written to, if there is one."""
    stage, shift = _pair(values.get("StagePosition")), _pair(values.get("ImageShift"))
    return Recording(
        shutter_time=_time(values.get("DateTime")),
        stage_x_um=stage[0],
        stage_y_um=stage[1],
        tilt_angle_degrees=number(values.get("TiltAngle")),
        tilt_series=PureWindowsPath(tilt_series).stem if tilt_series else None,
        image_shift_x_um=shift[0],
        image_shift_y_um=shift[1],
    )


def _whole(text: str | None) -> int | None:
    value = number(text)
    return int(value) if value is not None and value == int(value) else None


def _pair(text: str | None) -> tuple[float | None, float | None]:
    numbers = [number(part) for part in (text or "").split()]
    return (numbers[0], numbers[1]) if len(numbers) == 2 and None not in numbers else (None, None)


def _image_size(text: str | None) -> tuple[int | None, int | None]:
    """Return width and height of the image that the mdoc is about, whose pixel size it gives; frames may have more."""
    width, height = _pair(text)
    return (int(width), int(height)) if width and height and min(width, height) >= 1 else (None, None)


def _time(text: str | None) -> datetime | None:
    """Return the time of `08-Oct-21  07:39:08` or `08-Oct-2021  07:39:08`; the months are English everywhere."""
    found = _TIME.fullmatch((text or "").strip())
    if not found:
        return None
    day, month, year, hour, minute, second = found.groups()
    try:
        century = 2000 if len(year) == 2 else 0
        return datetime(
            century + int(year), _MONTHS.index(month.capitalize()) + 1, int(day), int(hour), int(minute), int(second)
        )  # SerialEM writes no time zone
    except ValueError:
        return None


def _without_cut_off_number(text: str) -> tuple[str, str]:
    """Return the text without a last line that does not end and gives numbers: digits may be missing; and that line.

    SerialEM ends each line.
    """
    whole, feed, last = text.rpartition("\n")
    _, equals, value = last.partition("=")
    return (whole + feed, last.strip()) if equals and _NUMBERS.fullmatch(value) else (text, "")


def parse_mdoc(text: str) -> tuple[dict[str, str], list[Section]]:
    """Return the values before the first section, and those of each section (`[FrameSet = 0]`, `[ZValue = 3]`)."""
    head: dict[str, str] = {}
    sections: list[Section] = []
    current = head
    for line in text.split("\n"):
        stripped = line.strip()
        if stripped.startswith("["):
            kind = stripped[1:].partition("=")[0].strip()
            if kind != "T":  # a title, which no values follow
                current = {}
                sections.append(Section(kind, current))
            continue
        key, equals, value = stripped.partition("=")
        if equals and key.strip() != "T":
            current[key.strip()] = value.strip()
    return head, sections


def section_of(movie: Path, sections: list[Section]) -> dict[str, str] | None:
    """Return the section whose frames are this movie; the path in it is that of a Windows machine elsewhere.

    The last one that names it counts: what was recorded again has overwritten the movie. If none does, it is the only
    section, or the only one about a set of frames.
    """
    for same in (_same_name, _same_stem):
        for section in reversed(sections):
            if same(PureWindowsPath(section.values.get("SubFramePath", "")), movie):
                return section.values
    frame_sets = [section for section in sections if section.kind == "FrameSet"]
    only = next((each[0] for each in (sections, frame_sets) if len(each) == 1), None)
    return None if only is None else only.values


def _same_name(named: PureWindowsPath, movie: Path) -> bool:
    return named.name.lower() == movie.name.lower()


def _same_stem(named: PureWindowsPath, movie: Path) -> bool:
    """Return whether the names differ only in what a converter of movies changes: the extension."""
    return named.stem.lower() == movie.stem.lower()


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
