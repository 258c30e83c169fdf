"""An exposure's record as it travels, for tests in which its content does not matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ROLES = ("micrograph", "results")


def record_of_files(exposure_id: object, receipts: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a record that names committed files by their receipts: the first as the micrograph."""
    return {
        "exposure_id": str(exposure_id),
        "revision": 1,
        "movie": "Images-Disc1/x.tiff",
        "label": "x",
        "micrograph_pixel_size_angstrom": 0.83,
        "micrograph_width_px": 64,
        "micrograph_height_px": 64,
        "acquisition": {
            "voltage_kv": 300,
            "cs_mm": 2.7,
            "amplitude_contrast": 0.1,
            "movie_pixel_size_angstrom": 0.83,
            "frame_count": 2,
        },
        "shifts": {"first_frame": 1, "y_px": [0, 0.5], "x_px": [0, -0.25]},
        "figures": {"motion_total_angstrom": 0.5, "motion_early_angstrom": 0.5, "motion_late_angstrom": 0},
        "files": [
            {"role": role, **{key: receipt[key] for key in ("path", "revision", "size_bytes", "digest")}}
            for role, receipt in zip(ROLES, receipts, strict=False)
        ],
        **more,
    }
