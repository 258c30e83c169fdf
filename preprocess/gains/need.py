"""Says whether a movie's counts are raw, so that they need a gain reference, and how that is known.

What tells, in this order:

* Float values are corrected: no camera counts fractions of electrons.
* EER holds the electrons as the camera found them: raw.
* SerialEM's mdoc of frames names a gain reference if, and only if, they were saved without normalisation (SerialEM's
  help, "Frame File Options": for K2, K3, and Falcon 4 with EER).
* EPU names the camera: Thermo Fisher's own (Falcon, Ceta) correct their frames before they save them, and patch their
  defects; frames of Gatan's cameras are corrected in EPU's MRC, and raw in its TIFF.
* Integer frames of a size that only one maker's raw frames have: K2, K3 and cameras of Direct Electron.

That a file is a TIFF tells nothing by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from preprocess.movies.packed_pixels import has_size_of_packed_frames
from preprocess.movies.stored_frames import StoredFrames
from preprocess.sidecars import Sidecar, recording_by_name

_SELF_CORRECTING = ("falcon", "ceta", "eagle")
_GATAN = ("ccd", "k2", "k3", "alpine", "summit")
_FRAME_SIZES = {
    (3710, 3838): "a K2",
    (3712, 3840): "a K2",
    (7420, 7676): "a K2 in super-resolution",
    (7424, 7680): "a K2 in super-resolution",
    (4092, 5760): "a K3",
    (8184, 11520): "a K3 in super-resolution",
    (3072, 4096): "a DE-12",
    (3840, 5120): "a DE-20",
    (8192, 8192): "a DE-64",
}
"""Sizes in px, the shorter side first: the other way round they are turned by 90 degrees."""
_MOST_RAW_BITS_WITH_MDOC = 8


class GainNeed(StrEnum):
    """Whether a movie needs a gain reference."""

    NEEDED = "needed"
    NOT_NEEDED = "not needed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class JudgedCounts:
    """Whether a movie needs a gain reference, and a clause that says how that is known."""

    need: GainNeed
    why: str

    @property
    def are_raw(self) -> bool:
        """Return whether the counts are as the camera made them, without correction."""
        return self.need is GainNeed.NEEDED


def judge_counts(movie: Path, frames: StoredFrames, sidecars: Sequence[Sidecar]) -> JudgedCounts:
    """Return whether a movie needs a gain reference.

    Parameters
    ----------
    movie
        Its path, of which only the name is used.
    frames
        How its file holds the frames.
    sidecars
        What the files beside it say.
    """
    if frames.is_float:
        return JudgedCounts(GainNeed.NOT_NEEDED, "its values are no integers, so they are corrected already")
    if frames.format == "eer":
        return JudgedCounts(GainNeed.NEEDED, "EER holds electrons as the camera counted them, without correction")
    return (
        _by_mdoc(frames, sidecars)
        or _by_camera(frames, sidecars)
        or _by_name(movie, frames)
        or _by_size(frames)
        or JudgedCounts(GainNeed.UNKNOWN, "nothing tells which camera made it")
    )


def _by_mdoc(frames: StoredFrames, sidecars: Sequence[Sidecar]) -> JudgedCounts | None:
    for sidecar in sidecars:
        if sidecar.gain_reference:
            why = (
                f"{sidecar.path.name} names the gain reference {sidecar.gain_reference}, as SerialEM does for frames"
                " that it saves without normalisation"
            )
            return JudgedCounts(GainNeed.NEEDED, why)
        if sidecar.is_of_frames and frames.bits > _MOST_RAW_BITS_WITH_MDOC and _maker_by_size(frames):
            why = f"{sidecar.path.name} names no gain reference, so SerialEM has normalised the frames"
            return JudgedCounts(GainNeed.NOT_NEEDED, why)
    return None


def _by_camera(frames: StoredFrames, sidecars: Sequence[Sidecar]) -> JudgedCounts | None:
    for sidecar in sidecars:
        camera = (sidecar.camera or "").lower()
        named = f"{sidecar.path.name} names the camera {sidecar.camera}"
        if any(name in camera for name in _SELF_CORRECTING):
            return JudgedCounts(GainNeed.NOT_NEEDED, f"{named}, which corrects its frames itself")
        if any(name in camera for name in _GATAN):
            if frames.format == "mrc":
                return JudgedCounts(GainNeed.NOT_NEEDED, f"{named}, whose frames EPU corrects when it writes MRC")
            return JudgedCounts(GainNeed.NEEDED, f"{named}, whose TIFF frames EPU does not correct")
    return None


def _by_name(movie: Path, frames: StoredFrames) -> JudgedCounts | None:
    if frames.format == "mrc" and recording_by_name(movie).foil_hole is not None:
        return JudgedCounts(GainNeed.NOT_NEEDED, "EPU corrects the frames that it writes as MRC")
    return None


def _by_size(frames: StoredFrames) -> JudgedCounts | None:
    maker = _maker_by_size(frames)
    if not maker:
        return None
    why = f"integer frames of {frames.width} x {frames.height} px are those of {maker}, which are not corrected"
    return JudgedCounts(GainNeed.NEEDED, why)


def _maker_by_size(frames: StoredFrames) -> str:
    if frames.bits == 8 and has_size_of_packed_frames(frames.height, frames.width):
        return "a K2 or K3 in super-resolution, packed to 4 bits"
    short, long = sorted((frames.height, frames.width))
    return _FRAME_SIZES.get((short, long), "")
