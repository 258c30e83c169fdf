"""SerialEM's mdoc beside a movie.

A reader of our own, because a sidecar may be half-written, and because SerialEM's keys vary with its version: what is
not known is left alone.
"""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from preprocess.sidecars.sidecar import Sidecar, SidecarUnreadableError, number, positive


def read_mdoc(path: Path, movie: Path) -> Sidecar:
    """Return what an mdoc says about a movie: from the section that names it, or the only section.

    Raises
    ------
    SidecarUnreadableError
        The file holds no `key = value` line.
    """
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise SidecarUnreadableError(f"{path}: {error.strerror or error}") from error
    head, sections = _parse(text)
    if not head and not sections:
        raise SidecarUnreadableError(f"{path}: it holds no values")
    values = head | _section_of(movie, sections)
    dose, frames = _frame_doses(values.get("FrameDosesAndNumber"))
    if frames is None:
        frames = positive(values.get("NumSubFrames"))
    return Sidecar(
        path=path,
        source="mdoc",
        pixel_size_angstrom=positive(values.get("PixelSpacing")),
        voltage_kv=positive(values.get("Voltage")),
        magnification=positive(values.get("Magnification")),
        dose_per_frame_e_per_a2=dose,
        total_dose_e_per_a2=positive(values.get("ExposureDose")),
        defocus_angstrom=_underfocus_angstrom(values),
        frame_count=int(frames) if frames else None,
    )


def _parse(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return the values before the first section, and those of each section (`[FrameSet = 0]`, `[ZValue = 3]`)."""
    head: dict[str, str] = {}
    sections: list[dict[str, str]] = []
    current = head
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("["):
            if not stripped.startswith("[T ="):  # a title, which no values follow
                current = {}
                sections.append(current)
            continue
        key, equals, value = stripped.partition("=")
        if equals and key.strip() != "T":
            current[key.strip()] = value.strip()
    return head, sections


def _section_of(movie: Path, sections: list[dict[str, str]]) -> dict[str, str]:
    """Return the section whose frames are this movie; the path in it is that of a Windows machine elsewhere."""
    for section in sections:
        if PureWindowsPath(section.get("SubFramePath", "")).name.lower() == movie.name.lower():
            return section
    return sections[0] if len(sections) == 1 else {}


def _frame_doses(text: str | None) -> tuple[float | None, float | None]:
    """Return (e⁻/Å² for each frame, frames) of `dose count [dose count …]` where all frames have one dose."""
    numbers = [number(part) for part in (text or "").split()]
    pairs = list(zip(numbers[0::2], numbers[1::2], strict=False))
    doses = {dose for dose, count in pairs if count}
    if any(dose is None or count is None for dose, count in pairs) or len(doses) != 1:
        return None, None
    (dose,) = doses
    return (dose if dose and dose > 0 else None), sum(count or 0 for _, count in pairs)


def _underfocus_angstrom(values: dict[str, str]) -> float | None:
    """Return the intended defocus as CTF programs count it: SerialEM's underfocus is negative, in micrometres."""
    defocus = number(values.get("TargetDefocus")) or number(values.get("Defocus"))
    return -defocus * 1e4 if defocus else None
