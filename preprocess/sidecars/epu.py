"""EPU's XML beside a movie: SI units, namespaces that vary, custom data found by key."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from preprocess.input_files import read_small, text_of
from preprocess.sidecars.recording import Recording
from preprocess.sidecars.sidecar import Sidecar, SidecarUnreadableError, number, positive

_MOST_BYTES = 8 << 20
"""A hundred times what EPU writes. In memory XML may take forty times as much."""
_LEAST_DOSE, _MOST_DOSE, _TOLERANCE = 1e-4, 2000.0, 0.25
"""Of the whole exposure, in e⁻/Å²; by what share two of a file's doses may differ without a remark."""
_CAMERA = "{*}microscopeData/{*}acquisition/{*}camera"
_POSITION = "{*}microscopeData/{*}stage/{*}Position"
_BEAM_SHIFT = "{*}microscopeData/{*}optics/{*}BeamShift"


def read_epu_xml(path: Path) -> Sidecar | None:
    """Return what EPU says about an exposure, or None when the XML is not an image's.

    Raises
    ------
    SidecarUnreadableError
        The file is cut off or no XML.
    """
    try:
        # Decoded here: the encoding that a file names is not always its own, and EPU's numbers and keys are ASCII.
        root = ET.fromstring(text_of(read_small(path, _MOST_BYTES)))  # noqa: S314 - expat bounds expansion
    except OSError as error:
        raise SidecarUnreadableError(f"{path}: {error.strerror or error}") from error
    except (ET.ParseError, ValueError) as error:
        raise SidecarUnreadableError(f"{path}: {error}") from error
    if root.tag.rpartition("}")[2] != "MicroscopeImage":
        return None
    custom = _entries(root.find("{*}CustomData"))
    width, height = (positive(root.findtext(f"{_CAMERA}/{{*}}ReadoutArea/{{*}}{side}")) for side in ("width", "height"))
    pixel_size = positive(root.findtext("{*}SpatialScale/{*}pixelSize/{*}x/{*}numericValue"), scale=1e10)
    dose, remarks = _total_dose(custom, root.findtext(f"{_CAMERA}/{{*}}Name") or "", pixel_size)
    return Sidecar(
        path=path,
        source="epu-xml",
        pixel_size_angstrom=pixel_size,
        image_height_px=int(height) if height and width else None,
        image_width_px=int(width) if height and width else None,
        voltage_kv=positive(root.findtext("{*}microscopeData/{*}gun/{*}AccelerationVoltage"), scale=1e-3),
        magnification=positive(
            root.findtext("{*}microscopeData/{*}optics/{*}TemMagnification/{*}NominalMagnification")
        ),
        total_dose_e_per_a2=dose,
        defocus_angstrom=_underfocus_angstrom(custom),
        frame_count=_frame_count(root),
        camera=_camera(root, custom),
        recording=_recording(root),
        remarks=remarks,
    )


def _recording(root: ET.Element) -> Recording:
    """Return when and where: the stage in metres and radians, the beam shift as it is written."""
    stage = {axis: number(root.findtext(f"{_POSITION}/{{*}}{axis}")) for axis in "XYA"}
    beam = {axis: number(root.findtext(f"{_BEAM_SHIFT}/{{*}}_{axis}")) for axis in "xy"}
    return Recording(
        shutter_time=_time(root.findtext("{*}microscopeData/{*}acquisition/{*}acquisitionDateTime")),
        exposure_time_s=positive(root.findtext(f"{_CAMERA}/{{*}}ExposureTime")),
        stage_x_um=None if stage["X"] is None else stage["X"] * 1e6,
        stage_y_um=None if stage["Y"] is None else stage["Y"] * 1e6,
        tilt_angle_degrees=None if stage["A"] is None else math.degrees(stage["A"]),
        beam_shift_x=beam["x"],
        beam_shift_y=beam["y"],
    )


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "")
    except ValueError:
        return None


def _entries(dictionary: ET.Element | None) -> dict[str, str]:
    """Return a serialised dictionary's plain values by key."""
    if dictionary is None:
        return {}
    pairs = ((entry.findtext("{*}Key"), entry.findtext("{*}Value")) for entry in dictionary)
    return {key: value for key, value in pairs if key and value}


def _total_dose(custom: dict[str, str], camera: str, pixel_size: float | None) -> tuple[float | None, tuple[str, ...]]:
    """Return the dose in e⁻/Å², and what is doubtful about it.

    `Dose` is in e⁻/m²; `TotalDose` of a detector is in e⁻/Å², and a file may list several detectors; `DoseOnCamera` is
    the whole exposure's e⁻ in a pixel of the size that the file gives.
    """
    detectors = [custom.get("BinaryResult.Detector", ""), camera]
    keys = [f"Detectors[{name}].TotalDose" for name in detectors if name]
    keys += sorted(key for key in custom if key.startswith("Detectors[") and key.endswith(".TotalDose"))
    total = next((key for key in keys if positive(custom.get(key)) is not None), "")
    area = None if pixel_size is None else pixel_size**2
    said = {
        "Dose": positive(custom.get("Dose"), scale=1e-20),
        total: positive(custom.get(total)),
        "DoseOnCamera": None if area is None else positive(custom.get("DoseOnCamera"), scale=1 / area),
    }
    known = {key: dose for key, dose in said.items() if dose is not None}
    possible = [key for key, dose in known.items() if _LEAST_DOSE <= dose <= _MOST_DOSE] or list(known)
    if not possible:
        return None, ()
    used = possible[0]
    others = [key for key, dose in known.items() if abs(dose - known[used]) > _TOLERANCE * max(dose, known[used])]
    remarks = [
        f"it contradicts itself: {known[used]:.4g} e/Å² in all by {used}, {known[key]:.4g} e/Å² by {key}; the former is"
        " used: give the right one with --total-dose"
        for key in others
    ]
    return known[used], tuple(remarks)


def _underfocus_angstrom(custom: dict[str, str]) -> float | None:
    """Return the defocus as CTF programs count it: EPU's underfocus is negative, in metres."""
    applied = number(custom.get("AppliedDefocus"))
    return -applied * 1e10 if applied else None


def _camera(root: ET.Element, custom: dict[str, str]) -> str | None:
    """Return the camera's names: the one in the software, such as EF-CCD, and its maker's, such as BioContinuum K3."""
    name = (root.findtext(f"{_CAMERA}/{{*}}Name") or "").strip()
    sold_as = custom.get(f"Detectors[{name}].CommercialName") or custom.get("DetectorCommercialName")
    return " ".join(filter(None, (name, f"({sold_as})" if sold_as else ""))) or None


def _frame_count(root: ET.Element) -> int | None:
    for element in root.iter():
        name = element.tag.rpartition("}")[2]
        if name == "NumberOffractions":
            count = positive(element.text)
            return int(count) if count else None
        if name == "DoseFractions" and len(element):
            return len(element)
    return None
