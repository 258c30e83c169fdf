"""RELION's per-micrograph motion STAR file, as RELION 3.1 to 5 write and read it.

RELION's shifts are what moves a frame back onto the first one, the negative of its content's displacement; X and Y
count in px of the movie as recorded, in RELION's orientation, which is the movies' own here. Coordinates count from 0.
The movie is named without its folder, so that the file is the same wherever the movie was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.outputs.relion_motion import RelionMotion
from preprocess.outputs.star_values import star_value

NO_LOCAL_MODEL, POLYNOMIAL = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionStar:
    """The content of the file.

    Frames count from 1, those that are not used are part of `frame_count`; those in `left_out` are in no sum.
    `hot_pixels` has shape (n, 2): (y, x).
    """

    movie_name: str
    gain_name: str | None
    defects_name: str | None
    width: int
    height: int
    frame_count: int
    first_frame: int
    bin_factor: int
    pixel_size_angstrom: float
    dose_per_frame_e_per_a2: float | None
    pre_exposure_e_per_a2: float
    voltage_kv: float | None
    hardware_frames_per_frame: int | None
    eer_upsampling: int
    left_out: tuple[int, ...] = ()
    motion: RelionMotion
    hot_pixels: NDArray[np.int64]


def motion_star(content: MotionStar) -> str:
    """Return the text of the file."""
    blocks = [
        _general(content),
        _global_shift(content.motion.shifts, content.first_frame),
        _local_motion_model(content.motion.coefficients),
        _left_out(content.left_out),
        _hot_pixels(content.hot_pixels),
    ]
    return "".join(f"\n# version 30001\n\n{block}\n" for block in blocks if block)


def _general(content: MotionStar) -> str:
    entries: list[tuple[str, str | None]] = [
        ("rlnImageSizeX", f"{content.width}"),
        ("rlnImageSizeY", f"{content.height}"),
        ("rlnImageSizeZ", f"{content.frame_count}"),
        ("rlnMicrographMovieName", star_value(content.movie_name)),
        ("rlnMicrographGainName", None if content.gain_name is None else star_value(content.gain_name)),
        ("rlnMicrographDefectFile", None if content.defects_name is None else star_value(content.defects_name)),
        ("rlnMicrographBinning", f"{content.bin_factor:.6f}"),
        ("rlnMicrographOriginalPixelSize", f"{content.pixel_size_angstrom:.6f}"),
        ("rlnMicrographDoseRate", _decimal(content.dose_per_frame_e_per_a2)),
        ("rlnMicrographPreExposure", f"{content.pre_exposure_e_per_a2:.6f}"),
        ("rlnVoltage", _decimal(content.voltage_kv)),
        ("rlnMicrographStartFrame", f"{content.first_frame}"),
        ("rlnEERUpsampling", None if content.hardware_frames_per_frame is None else f"{content.eer_upsampling}"),
        (
            "rlnEERGrouping",
            None if content.hardware_frames_per_frame is None else f"{content.hardware_frames_per_frame}",
        ),
        ("rlnMotionModelVersion", f"{NO_LOCAL_MODEL if content.motion.coefficients is None else POLYNOMIAL}"),
    ]
    lines = [f"_{name:<42} {value:>12}" for name, value in entries if value is not None]
    return "\n".join(["data_general", "", *lines, ""])


def _global_shift(shifts: NDArray[np.float64], first_frame: int) -> str:
    lines = ["data_global_shift", "", "loop_ "]
    lines += ["_rlnMicrographFrameNumber #1 ", "_rlnMicrographShiftX #2 ", "_rlnMicrographShiftY #3 "]
    lines += [f"{number:12d} {x:12.6f} {y:12.6f} " for number, (y, x) in enumerate(shifts, start=first_frame)]
    return "\n".join([*lines, ""])


def _local_motion_model(coefficients: NDArray[np.float64] | None) -> str:
    if coefficients is None:
        return ""
    lines = ["data_local_motion_model", "", "loop_ ", "_rlnMotionModelCoeffsIdx #1 ", "_rlnMotionModelCoeff #2 "]
    lines += [f"{index:12d} {value:.6e} " for index, value in enumerate(coefficients)]  # those of z³ are small
    return "\n".join([*lines, ""])


def _left_out(frames: tuple[int, ...]) -> str:
    """Return a table of our own, which RELION passes over."""
    if not frames:
        return ""
    return "\n".join(
        ["data_frames_left_out", "", "loop_ ", "_rlnMicrographFrameNumber #1 "]
        + [f"{number:12d} " for number in frames]
        + [""]
    )


def _hot_pixels(pixels: NDArray[np.int64]) -> str:
    if len(pixels) == 0:
        return ""
    lines = ["data_hot_pixels", "", "loop_ ", "_rlnCoordinateX #1 ", "_rlnCoordinateY #2 "]
    lines += [f"{x:12.6f} {y:12.6f} " for y, x in pixels.astype(np.float64)]
    return "\n".join([*lines, ""])


def _decimal(value: float | None) -> str | None:
    return None if value is None else f"{value:.6f}"
