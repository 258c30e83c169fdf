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

PixelSize = Annotated[
    float | None,
    typer.Option(metavar="Å", min=0.01, help="Pixel size of the movie as recorded.", rich_help_panel=ACQUISITION),
]
Voltage = Annotated[float | None, typer.Option(metavar="kV", min=10, help="Voltage.", rich_help_panel=ACQUISITION)]
Cs = Annotated[
    float | None, typer.Option(metavar="mm", min=0, help="Spherical aberration.", rich_help_panel=ACQUISITION)
]
AmplitudeContrast = Annotated[
    float | None, typer.Option(min=0, max=1, help="Amplitude contrast, such as 0.1.", rich_help_panel=ACQUISITION)
]
DosePerFrame = Annotated[
    float | None, typer.Option(metavar="e/Å²", min=0, help="Dose of one frame.", rich_help_panel=ACQUISITION)
]
TotalDose = Annotated[
    float | None, typer.Option(metavar="e/Å²", min=0, help="Dose of the whole movie.", rich_help_panel=ACQUISITION)
]
PreExposure = Annotated[
    float | None,
    typer.Option(metavar="e/Å²", min=0, help="Dose before the first frame.", rich_help_panel=ACQUISITION),
]
Gain = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Gain reference: MRC, TIFF or .gain.", rich_help_panel=CORRECTION),
]
GainRotate = Annotated[
    Literal["0", "90", "180", "270"],
    typer.Option(help="Turn the gain reference clockwise, in degrees.", rich_help_panel=CORRECTION),
]
GainFlip = Annotated[
    Literal["none", "x", "y"],
    typer.Option(help="Then mirror it: y turns it upside down, x left to right.", rich_help_panel=CORRECTION),
]
GainOperation = Annotated[
    Literal["auto", "multiply", "divide"],
    typer.Option(help="auto: multiply, but divide EER unless by a .gain file.", rich_help_panel=CORRECTION),
]
EerFrames = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="EER: hardware frames in one frame.", rich_help_panel=CORRECTION),
]
EerUpsampling = Annotated[
    Literal["1", "2"],
    typer.Option(
        help="EER: 2 makes frames of twice the camera's pixels along each axis, of 4 times the memory.",
        rich_help_panel=CORRECTION,
    ),
]
EerDosePerFrame = Annotated[
    float | None,
    typer.Option(
        metavar="e/Å²", min=0.001, help="EER: group hardware frames to this dose.", rich_help_panel=CORRECTION
    ),
]
DefectsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Known defects: x y width height a line, SerialEM's defects.txt, or a map.",
        rich_help_panel=CORRECTION,
    ),
]
FindDefects = Annotated[
    bool, typer.Option(help="Find hot and dead pixels in the movie itself.", rich_help_panel=CORRECTION)
]
FirstFrame = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="First frame to use, counted from 1.", rich_help_panel=CORRECTION),
]
LastFrame = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Last frame to use.", rich_help_panel=CORRECTION)
]
Throw = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=0, help="Drop the first N frames; their dose still counts.", rich_help_panel=CORRECTION
    ),
]
Group = Annotated[
    int,
    typer.Option(
        metavar="N", min=1, help="Add up N frames each to estimate motion, for faint ones.", rich_help_panel=ALIGNMENT
    ),
]
Patches = Annotated[
    str,
    typer.Option(
        metavar="XxY|auto",
        help="Patches that local motion is found by, such as 7x5; 1x1: whole-frame alignment alone.",
        rich_help_panel=ALIGNMENT,
    ),
]
Bin = Annotated[
    int,
    typer.Option(metavar="N", min=1, max=8, help="Bin the micrograph, in Fourier space.", rich_help_panel=ALIGNMENT),
]
DoseWeighting = Annotated[
    bool, typer.Option(help="Weight each frame's frequencies by its dose.", rich_help_panel=ALIGNMENT)
]
MagMajor = Annotated[
    float,
    typer.Option(
        metavar="F", min=0.1, help="Anisotropic magnification: along the major axis.", rich_help_panel=CORRECTION
    ),
]
MagMinor = Annotated[
    float, typer.Option(metavar="F", min=0.1, help="The same along the minor axis.", rich_help_panel=CORRECTION)
]
MagAngle = Annotated[
    float,
    typer.Option(
        metavar="DEGREES", help="Of the major axis from the x axis, as in MotionCor's -Mag.", rich_help_panel=CORRECTION
    ),
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda:N", help="Where to compute.", rich_help_panel=ALIGNMENT)]
DeviceMemory = Annotated[
    float | None,
    typer.Option(metavar="GB", min=0.1, help="Most memory to take of a CUDA device.", rich_help_panel=ALIGNMENT),
]
Threads = Annotated[
    int, typer.Option(metavar="N", min=0, help="Threads; 0: every core it may use.", rich_help_panel=ALIGNMENT)
]
Unweighted = Annotated[
    bool, typer.Option("--unweighted", help="Also write the plain sum, STEM_noDW.mrc.", rich_help_panel=OUTPUTS)
]
EvenOdd = Annotated[
    bool,
    typer.Option("--even-odd", help="Also write the sums of even and odd frames.", rich_help_panel=OUTPUTS),
]
Float32 = Annotated[
    bool, typer.Option("--float32", help="Write float32 instead of float16 micrographs.", rich_help_panel=OUTPUTS)
]
MotioncorLogs = Annotated[
    bool,
    typer.Option(
        "--motioncor-logs", help="Also write motion as MotionCor's logs, STEM-Full.log.", rich_help_panel=OUTPUTS
    ),
]

MOST_STRETCH = 0.03
"""Anisotropy of more than 3 % is no microscope's, and beyond what the interpolation has room for."""
ROTATIONS: dict[str, Literal[0, 90, 180, 270]] = {"0": 0, "90": 90, "180": 180, "270": 270}


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
    gain_rotate: GainRotate = "0",
    gain_flip: GainFlip = "none",
    gain_operation: GainOperation = "auto",
    eer_upsampling: EerUpsampling = "1",
    defects: DefectsFile = None,
    find_defects: FindDefects = True,
    eer_frames: EerFrames = None,
    eer_dose_per_frame: EerDosePerFrame = None,
    first_frame: FirstFrame = None,
    last_frame: LastFrame = None,
    throw: Throw = None,
    group: Group = 1,
    patches: Patches = "auto",
    mag_major: MagMajor = 1.0,
    mag_minor: MagMinor = 1.0,
    mag_angle: MagAngle = 0.0,
    bin: Bin = 1,  # noqa: A002  # the option is --bin
    dose_weighting: DoseWeighting = True,
    device: Device = "auto",
    device_memory: DeviceMemory = None,
    threads: Threads = 0,
    unweighted: Unweighted = False,
    even_odd: EvenOdd = False,
    float32: Float32 = False,
    motioncor_logs: MotioncorLogs = False,
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
    """Give a command every alignment option, handed to it as one `ChosenAlignment` named `alignment`."""
    options = _options()
    hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "alignment"
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
        command(**values, alignment=chosen)

    with_options.__dict__["__signature__"] = inspect.Signature([context, *own, *options.values()])
    return with_options
