"""The XML sidecar that EPU lays beside a movie, with the fields that readers use."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from preprocess.simulation.settings import SimulationSettings

_IMAGE = "http://schemas.datacontract.org/2004/07/Fei.SharedObjects"
_ARRAYS = "http://schemas.microsoft.com/2003/10/Serialization/Arrays"
_DRAWING = "http://schemas.datacontract.org/2004/07/System.Drawing"
_OMP = "http://schemas.datacontract.org/2004/07/Fei.Applications.Common.Omp.Interface"


def write_epu_xml(path: Path, settings: SimulationSettings, *, nominal_magnification: int = 130000) -> None:
    """Write what EPU would say about a movie taken with these settings, in SI units."""
    dose_per_m2 = settings.dose_per_frame_e_per_a2 * settings.frame_count * 1e20
    metres = f"{settings.pixel_size_angstrom * 1e-10:.12g}"
    root = ET.Element(f"{{{_IMAGE}}}MicroscopeImage")
    custom = _child(root, "CustomData")
    _entry(custom, "Dose", f"{dose_per_m2:.12g}")
    _entry(custom, "PhasePlateUsed", "false")
    _entry(custom, "AppliedDefocus", f"{-settings.defocus_angstrom * 1e-10:.12g}")
    pixel_size = _child(_child(root, "SpatialScale"), "pixelSize")
    for axis in ("x", "y"):
        _child(_child(pixel_size, axis), "numericValue", metres)
    microscope = _child(root, "microscopeData")
    camera = _child(_child(microscope, "acquisition"), "camera")
    _pair(_child(camera, "Binning"), x="1", y="1")
    specific = _child(camera, "CameraSpecificInput")
    _entry(specific, "SuperResolutionFactor", "1")
    fractions = _entry(specific, "FractionationSettings", "")
    ET.SubElement(fractions, f"{{{_OMP}}}NumberOffractions").text = str(settings.frame_count)
    _child(camera, "ExposureTime", "2")
    _child(camera, "Name", "EF-CCD" if settings.gain else "EF-Falcon")  # Falcons correct their frames themselves
    _pair(_child(camera, "ReadoutArea"), height=str(settings.height), width=str(settings.width), x="0", y="0")
    _child(_child(microscope, "gun"), "AccelerationVoltage", f"{settings.voltage_kv * 1e3:.12g}")
    magnification = _child(_child(microscope, "optics"), "TemMagnification")
    _child(magnification, "NominalMagnification", str(nominal_magnification))
    ET.register_namespace("", _IMAGE)
    ET.indent(root, "    ")
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=False)


def _child(parent: ET.Element, name: str, text: str | None = None) -> ET.Element:
    child = ET.SubElement(parent, f"{{{_IMAGE}}}{name}")
    child.text = text
    return child


def _pair(parent: ET.Element, **values: str) -> None:
    for name, value in values.items():
        ET.SubElement(parent, f"{{{_DRAWING}}}{name}").text = value


def _entry(parent: ET.Element, key: str, value: str) -> ET.Element:
    entry = ET.SubElement(parent, f"{{{_ARRAYS}}}KeyValueOfstringanyType")
    ET.SubElement(entry, f"{{{_ARRAYS}}}Key").text = key
    element = ET.SubElement(entry, f"{{{_ARRAYS}}}Value")
    element.text = value
    return element
