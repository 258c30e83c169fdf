"""The record of an exposure in version 1 of the protocol.

Version 1 had `motion` and `ctf` instead of figures by name, and no times, warnings and provenance. Databases and
journals hold such records, and older agents send them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MOTION = {
    "total_angstrom": "motion_total_angstrom",
    "early_angstrom": "motion_early_angstrom",
    "late_angstrom": "motion_late_angstrom",
}
_CTF = {
    "defocus_u_angstrom": "ctf_defocus_u_angstrom",
    "defocus_v_angstrom": "ctf_defocus_v_angstrom",
    "astigmatism_angle_degrees": "ctf_astigmatism_angle_degrees",
    "resolution_angstrom": "ctf_resolution_angstrom",
    "fit_quality": "ctf_fit_quality",
    "phase_shift_degrees": "ctf_phase_shift_degrees",
}
_CTF_NEEDED = {"defocus_u_angstrom", "defocus_v_angstrom", "astigmatism_angle_degrees"}
_FIELDS = {
    "exposure_id", "revision", "movie", "label",
    "micrograph_pixel_size_angstrom", "micrograph_width_px", "micrograph_height_px", "shifts", "files",
}  # fmt: skip
_ACQUISITION = {
    "voltage_kv", "cs_mm", "amplitude_contrast", "movie_pixel_size_angstrom", "magnification",
    "dose_per_frame_e_per_a2", "pre_exposure_e_per_a2", "frame_count",
}  # fmt: skip


def is_version_1(values: Any) -> bool:
    """Return whether JSON values are a record of version 1."""
    return isinstance(values, Mapping) and "motion" in values and "figures" not in values


def upgraded(values: Any) -> Any:
    """Return a record's JSON values with `motion` and `ctf` as figures; any other values as they are."""
    if not is_version_1(values):
        return values
    known = {key: value for key, value in values.items() if key not in ("motion", "ctf")}
    return {**known, "figures": _named(values["motion"], _MOTION) | _named(values.get("ctf"), _CTF)}


def _named(section: Any, names: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(section, Mapping):
        return {}
    return {figure: section[key] for key, figure in names.items() if section.get(key) is not None}


def downgraded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's JSON values in version 1; what version 1 does not know is left out."""
    figures = values["figures"]
    motion = {key: figures.get(figure, 0.0) for key, figure in _MOTION.items()}
    ctf = {key: figures[figure] for key, figure in _CTF.items() if figure in figures}
    return {
        **{key: value for key, value in values.items() if key in _FIELDS},
        "acquisition": {key: value for key, value in values["acquisition"].items() if key in _ACQUISITION},
        "motion": motion,
        "ctf": ctf if ctf.keys() >= _CTF_NEEDED else None,
    }
