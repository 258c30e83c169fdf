"""The alignment options of the command line, shared by every command that aligns.

A command takes them all through one parameter:

    @takes_alignment_options
    def align(movies: Annotated[list[Path], typer.Argument()], alignment: ChosenAlignment) -> None: ...

`alignment.settings` then says how to align, `alignment.flags` and `alignment.configured` what the command line and the
configuration (file or environment) say about the acquisition.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.settings import (
    AlignmentSettings,
    DefectSettings,
    EerSettings,
    FrameSettings,
    GainSettings,
    MagnificationSettings,
)

MOST_PATCHES = 16
ACQUISITION, CORRECTION, ALIGNMENT, OUTPUTS = "Acquisition", "Gain and frames", "Alignment", "Outputs"


def _option(*flags: str, panel: str, help: str, **more: Any) -> Any:  # noqa: A002 - typer's name
    return typer.Option(*flags, rich_help_panel=panel, help=help, **more)


PixelSize = Annotated[
    float | None,
    _option(panel=ACQUISITION, metavar="Å", min=0.01, help="Pixel size of the movie as the camera recorded it."),
]
Voltage = Annotated[
    float | None, _option(panel=ACQUISITION, metavar="kV", min=10, help="Voltage of the microscope, such as 300.")
]
Cs = Annotated[float | None, _option(panel=ACQUISITION, metavar="mm", min=0, help="Spherical aberration, such as 2.7.")]
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
    Path | None, _option(panel=CORRECTION, metavar="FILE", help="Gain reference: an MRC, TIFF or .gain file.")
]
GainRotate = Annotated[
    Literal["0", "90", "180", "270"],
    _option(panel=CORRECTION, help="Rotate the gain reference clockwise by these degrees."),
]
GainFlip = Annotated[
    Literal["none", "x", "y"],
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
Unweighted = Annotated[
    bool, _option("--unweighted", panel=OUTPUTS, help="Also write the sum without dose weighting, STEM_noDW.mrc.")
]
EvenOdd = Annotated[
    bool,
    _option(
        "--even-odd", panel=OUTPUTS, help="Also write the sums of even and odd frames, STEM_EVN.mrc and STEM_ODD.mrc."
    ),
]
Float32 = Annotated[bool, _option("--float32", panel=OUTPUTS, help="Write micrographs as float32 instead of float16.")]
MotioncorLogs = Annotated[
    bool, _option("--motioncor-logs", panel=OUTPUTS, help="Also write the motion as MotionCor's logs, STEM-Full.log.")
]

MOST_STRETCH = 0.03
"""Anisotropy of more than 3 % is no microscope's, and beyond what the interpolation has room for."""
ROTATIONS: dict[str, Literal[0, 90, 180, 270]] = {"0": 0, "90": 90, "180": 180, "270": 270}

_USUAL = AlignmentSettings()
_GAIN = _USUAL.gain
_GAIN_ROTATE: Any = str(_GAIN.rotate_degrees)
_EER_UPSAMPLING: Any = str(_USUAL.eer.upsampling)


def chosen_alignment(
    *,
    on_command_line: Callable[[str], bool] = lambda _name: True,
    pixel_size: PixelSize = None,
    voltage: Voltage = None,
    cs: Cs = None,
    amplitude_contrast: AmplitudeContrast = None,
    dose_per_frame: DosePerFrame = None,
    total_dose: TotalDose = None,
    pre_exposure: PreExposure = None,
    gain: Gain = None,
    gain_rotate: GainRotate = _GAIN_ROTATE,
    gain_flip: GainFlip = _GAIN.flip,
    gain_operation: GainOperation = _GAIN.operation,
    eer_upsampling: EerUpsampling = _EER_UPSAMPLING,
    defects: DefectsFile = None,
    find_defects: FindDefects = _USUAL.defects.automatic,
    eer_frames: EerFrames = _USUAL.eer.hardware_frames_per_frame,
    eer_dose_per_frame: EerDosePerFrame = _USUAL.eer.dose_per_frame_e_per_a2,
    first_frame: FirstFrame = None,
    last_frame: LastFrame = _USUAL.frames.last,
    throw: Throw = None,
    group: Group = _USUAL.frames.group,
    patches: Patches = "auto",
    mag_major: MagMajor = _USUAL.magnification.major,
    mag_minor: MagMinor = _USUAL.magnification.minor,
    mag_angle: MagAngle = _USUAL.magnification.angle_degrees,
    bin: Bin = _USUAL.bin_factor,  # noqa: A002  # the option is --bin
    dose_weighting: DoseWeighting = _USUAL.dose_weighting,
    device: Device = _USUAL.device,
    device_memory: DeviceMemory = _USUAL.device_memory_gb,
    threads: Threads = _USUAL.threads,
    unweighted: Unweighted = _USUAL.unweighted,
    even_odd: EvenOdd = _USUAL.even_odd,
    float32: Float32 = _USUAL.float32,
    motioncor_logs: MotioncorLogs = _USUAL.motioncor_logs,
) -> ChosenAlignment:
    """Turn the options' values into settings; `on_command_line` tells a flag from a configured value by its name."""
    said: dict[str, tuple[str, Any]] = {
        "pixel_size": ("pixel_size_angstrom", pixel_size),
        "voltage": ("voltage_kv", voltage),
        "cs": ("cs_mm", cs),
        "amplitude_contrast": ("amplitude_contrast", amplitude_contrast),
        "dose_per_frame": ("dose_per_frame_e_per_a2", dose_per_frame),
        "total_dose": ("total_dose_e_per_a2", total_dose),
        "pre_exposure": ("pre_exposure_e_per_a2", pre_exposure),
    }
    flags = {name: value for option, (name, value) in said.items() if on_command_line(option)}
    configured = {name: value for option, (name, value) in said.items() if not on_command_line(option)}
    return ChosenAlignment(
        settings=AlignmentSettings(
            gain=GainSettings(
                path=gain, rotate_degrees=ROTATIONS[gain_rotate], flip=gain_flip, operation=gain_operation
            ),
            defects=DefectSettings(path=defects, automatic=find_defects),
            eer=EerSettings(
                hardware_frames_per_frame=eer_frames,
                dose_per_frame_e_per_a2=eer_dose_per_frame,
                upsampling=2 if eer_upsampling == "2" else 1,
            ),
            frames=FrameSettings(first=_first_frame(first_frame, throw), last=last_frame, group=group),
            magnification=_magnification(mag_major, mag_minor, mag_angle),
            patches=_patches(patches),
            bin_factor=bin,
            dose_weighting=dose_weighting,
            unweighted=unweighted,
            even_odd=even_odd,
            float32=float32,
            motioncor_logs=motioncor_logs,
            device=device,
            device_memory_gb=device_memory,
            threads=threads,
        ),
        flags=Acquisition(**flags),
        configured=Acquisition(**configured),
    )


def _first_frame(first: int | None, throw: int | None) -> int:
    if throw is not None and first not in {None, throw + 1}:
        raise typer.BadParameter(f"--throw {throw} and --first-frame {first} contradict each other")
    return (throw or 0) + 1 if first is None else first


def _magnification(major: float, minor: float, angle_degrees: float) -> MagnificationSettings:
    if not abs(major / minor - 1) <= MOST_STRETCH:
        raise typer.BadParameter(
            f"--mag-major {major:g} and --mag-minor {minor:g} differ by more than {MOST_STRETCH:.0%}: "
            "give the magnifications, or their ratio and 1, such as 1.012 and 1"
        )
    return MagnificationSettings(major=major, minor=minor, angle_degrees=angle_degrees)


def _patches(text: str) -> tuple[int, int] | None:
    """Return the number of patches in x and y; None: to be chosen."""
    if text == "auto":
        return None
    numbers = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if numbers is None or not 1 <= min(map(int, numbers.groups())) <= max(map(int, numbers.groups())) <= MOST_PATCHES:
        raise typer.BadParameter(f"--patches {text}: give auto, or two numbers from 1 to {MOST_PATCHES} such as 7x5")
    return int(numbers[1]), int(numbers[2])


def _options() -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(chosen_alignment, eval_str=True).parameters
    return {name: parameter for name, parameter in parameters.items() if name != "on_command_line"}


def takes_alignment_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command every alignment option, handed to it as one `ChosenAlignment` named `alignment`.

    A command that has a parameter `ctx` also gets typer's context.
    """
    options = _options()
    hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(command).parameters.items()
        if name not in ("alignment", "ctx")
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

    @functools.wraps(command)
    def with_options(ctx: typer.Context, **values: Any) -> None:
        def on_command_line(name: str) -> bool:
            source = ctx.get_parameter_source(name)
            return source is not None and source.name == "COMMANDLINE"

        chosen = chosen_alignment(
            on_command_line=on_command_line, **{name: values.pop(name) for name in options if name in values}
        )
        if "ctx" in hints:
            values["ctx"] = ctx
        command(**values, alignment=chosen)

    with_options.__dict__["__signature__"] = inspect.Signature([context, *own, *options.values()])
    return with_options
