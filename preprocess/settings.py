"""What a user may decide about alignment."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class GainSettings:
    """A gain reference and how it lies. `operation` auto: RELION's rule (multiply; EER divides unless `.gain`).

    `absent`: the user says that there is none, so that none is looked for and none is missed; `path` is None then.
    `required`: without one, a movie that may need one is not aligned.
    `orientation` auto: rotation, flip and, where it is auto, operation are where to begin; another orientation is used
    if the movies show that it fits. given: they hold.

    `found_by` says how a file was found that the user did not name, and `not_found` why one that is there was not
    taken, both for people.
    """

    path: Path | None = None
    absent: bool = False
    required: bool = False
    rotate_degrees: Literal[0, 90, 180, 270] = 0
    flip: Literal["none", "x", "y"] = "none"
    operation: Literal["auto", "multiply", "divide"] = "auto"
    orientation: Literal["auto", "given"] = "auto"
    found_by: str = field(default="", compare=False)
    not_found: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectSettings:
    """A file of known defects (`preprocess.correction.defect_files`), and whether to look for hot and dead pixels."""

    path: Path | None = None
    automatic: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EerSettings:
    """How hardware frames make frames: by count, or by dose (needs a known total dose)."""

    hardware_frames_per_frame: int | None = None
    dose_per_frame_e_per_a2: float | None = None
    upsampling: Literal[1, 2] = 1  # 2: twice the camera's pixels along each axis, from the events' sub-pixel bits


@dataclass(frozen=True, slots=True, kw_only=True)
class MagnificationSettings:
    """Anisotropic magnification, as MotionCor's `-Mag` has it: the image is stretched by major / minor along one axis.

    The axis' angle is counted from the x axis, counter-clockwise with row 0 on top.
    """

    major: float = 1.0
    minor: float = 1.0
    angle_degrees: float = 0.0

    @property
    def stretch(self) -> float:
        """Return by how much the image is stretched."""
        return self.major / self.minor


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSettings:
    """Which frames are used, counted from 1, both ends included, and how many are added up to estimate motion."""

    first: int = 1
    last: int | None = None
    group: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CtfSettings:
    """Whether and how the contrast transfer function is estimated.

    `wanted`: align estimates it. `group_dose_e_per_a2`: spectra of sums of so much dose are averaged; None: that of
    the whole plain sum. Defocus is searched within `lowest_` and `highest_defocus_angstrom`. `ctffind_files`: the
    results are written in CTFFIND's text files too.
    """

    wanted: bool = True
    find_phase_shift: bool = False
    group_dose_e_per_a2: float | None = None
    lowest_defocus_angstrom: float = 1000.0
    highest_defocus_angstrom: float = 50000.0
    ctffind_files: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentSettings:
    """Everything that decides an alignment's result, apart from the movie and its acquisition.

    Two runs with equal settings, movie, acquisition and software give the same bytes.
    """

    gain: GainSettings = GainSettings()
    defects: DefectSettings = DefectSettings()
    eer: EerSettings = EerSettings()
    frames: FrameSettings = FrameSettings()
    magnification: MagnificationSettings = MagnificationSettings()
    ctf: CtfSettings = CtfSettings()
    bin_factor: int = 1
    patches: tuple[int, int] | None = None  # (x, y); None: from size and dose; (1, 1): whole-frame alignment alone
    dose_weighting: bool = True
    unweighted: bool = False
    even_odd: bool = False
    power_spectrum: bool = False
    float32: bool = False
    motioncor_logs: bool = False
    device: str = "auto"
    device_memory_gb: float | None = None  # most to take of a CUDA device; None: all that it has
    threads: int = 0  # 0: all cores that this process may use
