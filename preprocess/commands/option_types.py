"""The alignment options of the command line: each one's type, limits, help text and group in the help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

ACQUISITION, CORRECTION, ALIGNMENT, OUTPUTS = "Acquisition", "Gain and frames", "Alignment", "Outputs"
CTF = "Contrast transfer function (CTF)"


def _option(*flags: str, panel: str, help: str, **more: Any) -> Any:  # noqa: A002 - typer's name
    return typer.Option(*flags, rich_help_panel=panel, help=help, **more)


PixelSize = Annotated[
    float | None,
    _option(panel=ACQUISITION, metavar="Å", min=0.01, help="Pixel size of the movie as the camera recorded it."),
]
Voltage = Annotated[
    float | None, _option(panel=ACQUISITION, metavar="kV", min=10, help="Voltage of the microscope, such as 300.")
]
Cs = Annotated[
    float | None,
    _option(panel=ACQUISITION, metavar="mm", min=0, max=100, help="Spherical aberration, such as 2.7."),
]
AmplitudeContrast = Annotated[
    float | None,
    _option(panel=ACQUISITION, metavar="FRACTION", min=0, max=1, help="Amplitude contrast, such as 0.1."),
]
DosePerFrame = Annotated[
    float | None, _option(panel=ACQUISITION, metavar="e/Å²", min=0, help="Dose of one frame of the movie.")
]
TotalDose = Annotated[float | None, _option(panel=ACQUISITION, metavar="e/Å²", min=0, help="Dose of the whole movie.")]
PreExposure = Annotated[
    float | None, _option(panel=ACQUISITION, metavar="e/Å²", min=0, help="Dose before the first frame. Default: 0.")
]
Gain = Annotated[
    Path | None,
    _option(
        panel=CORRECTION,
        metavar="FILE|none",
        help="Gain reference: an MRC, TIFF, DM4 or .gain file. none: there is none, and it is not missed.",
    ),
]
RequireGain = Annotated[
    bool,
    _option(
        panel=CORRECTION,
        help="Align no movie without a gain reference, unless it is known to be corrected already.",
    ),
]
GainOrientation = Annotated[
    Literal["auto", "given"],
    _option(
        panel=CORRECTION,
        help="auto: use the orientation of the gain reference that the movies show; given: use it as it lies, turned by"
        " --gain-rotate and --gain-flip. With either of these it is always given.",
    ),
]
GainRotate = Annotated[
    Literal["0", "90", "180", "270"] | None,
    _option(panel=CORRECTION, help="Rotate the gain reference clockwise by these degrees."),
]
GainFlip = Annotated[
    Literal["none", "x", "y"] | None,
    _option(panel=CORRECTION, help="Then flip it: y turns it upside down, x swaps left and right."),
]
GainOperation = Annotated[
    Literal["auto", "multiply", "divide"],
    _option(
        panel=CORRECTION, help="auto: multiply the movie by it; divide EER movies by it, unless it is a .gain file."
    ),
]
EerFrames = Annotated[
    int | None,
    _option(panel=CORRECTION, metavar="N", min=1, help="EER: add up N hardware frames to one frame."),
]
EerUpsampling = Annotated[
    Literal["1", "2"],
    _option(panel=CORRECTION, help="EER: 2 doubles the pixels along each axis. This needs 4 times the memory."),
]
EerDosePerFrame = Annotated[
    float | None,
    _option(
        panel=CORRECTION, metavar="e/Å²", min=0.001, help="EER: add up hardware frames until a frame has this dose."
    ),
]
DefectsFile = Annotated[
    Path | None,
    _option(
        panel=CORRECTION,
        metavar="FILE",
        help="Known defects: lines of `x y width height`, SerialEM's defects.txt, or an image that marks them.",
    ),
]
FindDefects = Annotated[bool, _option(panel=CORRECTION, help="Find hot and dead pixels in the movie itself.")]
FirstFrame = Annotated[
    int | None, _option(panel=CORRECTION, metavar="N", min=1, help="First frame to use. The first one is number 1.")
]
LastFrame = Annotated[
    int | None, _option(panel=CORRECTION, metavar="N", min=1, help="Last frame to use. Default: the movie's last.")
]
Throw = Annotated[
    int | None,
    _option(panel=CORRECTION, metavar="N", min=0, help="Leave out the first N frames. Their dose still counts."),
]
Group = Annotated[
    int,
    _option(
        panel=ALIGNMENT,
        metavar="N",
        min=1,
        help="Group N frames before estimating motion; helps with faint movies.",
    ),
]
Patches = Annotated[
    str,
    _option(
        panel=ALIGNMENT,
        metavar="XxY|auto",
        help="Number of patches to measure local motion in, such as 7x5. 1x1 corrects the whole frame only.",
    ),
]
Bin = Annotated[
    int, _option(panel=ALIGNMENT, metavar="N", min=1, max=8, help="Bin the micrograph N times, in Fourier space.")
]
DoseWeighting = Annotated[bool, _option(panel=ALIGNMENT, help="Weight the frequencies of each frame by its dose.")]
MagMajor = Annotated[
    float,
    _option(
        panel=CORRECTION, metavar="FACTOR", min=0.1, help="Anisotropic magnification: the one along the major axis."
    ),
]
MagMinor = Annotated[
    float,
    _option(
        panel=CORRECTION, metavar="FACTOR", min=0.1, help="Anisotropic magnification: the one along the minor axis."
    ),
]
MagAngle = Annotated[
    float,
    _option(
        panel=CORRECTION,
        metavar="DEGREES",
        help="Angle from the x axis to the major axis, as in MotionCor's -Mag.",
    ),
]
Device = Annotated[
    str,
    _option(
        panel=ALIGNMENT, metavar="auto|cpu|cuda:N", help="Where to compute. auto: a GPU if there is one, else the CPU."
    ),
]
DeviceMemory = Annotated[
    float | None,
    _option(panel=ALIGNMENT, metavar="GB", min=0.1, help="Use at most this much memory of the GPU. Default: all."),
]
Threads = Annotated[
    int, _option(panel=ALIGNMENT, metavar="N", min=0, help="Number of CPU threads. 0: one for each core.")
]
Ctf = Annotated[
    bool, _option(panel=CTF, help="Estimate defocus, astigmatism and the resolution of the CTF fit from the plain sum.")
]
PhaseShift = Annotated[
    bool, _option("--phase-shift", panel=CTF, help="Search for a phase shift too, such as a phase plate's.")
]
CtfGroups = Annotated[
    float | None,
    _option(
        panel=CTF,
        metavar="e/Å²",
        min=1,
        help="Average the spectra of sums of this much dose, such as 10. Default: the spectrum of the whole sum.",
    ),
]
DefocusRange = Annotated[
    str, _option(panel=CTF, metavar="µm-µm", help="Search the defocus in this range; underfocus is positive.")
]
CtffindFiles = Annotated[
    bool,
    _option(
        "--ctffind-files",
        panel=OUTPUTS,
        help="Also write STEM_ctf.txt and STEM_ctf_avrot.txt, as CTFFIND 5 prints its results.",
    ),
]
Unweighted = Annotated[
    bool, _option("--unweighted", panel=OUTPUTS, help="Also write the sum without dose weighting, STEM_noDW.mrc.")
]
EvenOdd = Annotated[
    bool,
    _option(
        "--even-odd", panel=OUTPUTS, help="Also write the sums of even and odd frames, STEM_EVN.mrc and STEM_ODD.mrc."
    ),
]
PowerSpectrum = Annotated[
    bool,
    _option(
        "--power-spectrum",
        panel=OUTPUTS,
        help="Also write the sum of amplitude spectra that RELION writes for CTFFIND, STEM_PS.mrc.",
    ),
]
Float32 = Annotated[bool, _option("--float32", panel=OUTPUTS, help="Write micrographs as float32 instead of float16.")]
MotioncorLogs = Annotated[
    bool, _option("--motioncor-logs", panel=OUTPUTS, help="Also write the motion as MotionCor's logs, STEM-Full.log.")
]
