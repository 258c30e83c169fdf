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
from typing import Any, Literal, get_type_hints

import typer

from preprocess.commands.ctf_choices import USUAL_RANGE, ctf_settings
from preprocess.commands.option_types import (
    AmplitudeContrast,
    Bin,
    Cs,
    Ctf,
    CtffindFiles,
    CtfGroups,
    DefectsFile,
    DefocusRange,
    Device,
    DeviceMemory,
    DosePerFrame,
    DoseWeighting,
    EerDosePerFrame,
    EerFrames,
    EerUpsampling,
    EvenOdd,
    FindDefects,
    FirstFrame,
    Float32,
    Gain,
    GainFlip,
    GainOperation,
    GainOrientation,
    GainRotate,
    Group,
    LastFrame,
    MagAngle,
    MagMajor,
    MagMinor,
    MotioncorLogs,
    Patches,
    PhaseShift,
    PixelSize,
    PowerSpectrum,
    PreExposure,
    RequireGain,
    Threads,
    Throw,
    TotalDose,
    Unweighted,
    Voltage,
)
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
MOST_STRETCH = 0.03
"""No microscope has an anisotropy of more than 3 %, and the interpolation cannot handle more."""
ROTATIONS: dict[str, Literal[0, 90, 180, 270]] = {"0": 0, "90": 90, "180": 180, "270": 270}

_USUAL = AlignmentSettings()
_GAIN = _USUAL.gain
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
    require_gain: RequireGain = _GAIN.required,
    gain_orientation: GainOrientation = _GAIN.orientation,
    gain_rotate: GainRotate = None,
    gain_flip: GainFlip = None,
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
    ctf: Ctf = _USUAL.ctf.wanted,
    phase_shift: PhaseShift = _USUAL.ctf.find_phase_shift,
    ctf_groups: CtfGroups = _USUAL.ctf.group_dose_e_per_a2,
    defocus_range: DefocusRange = USUAL_RANGE,
    unweighted: Unweighted = _USUAL.unweighted,
    even_odd: EvenOdd = _USUAL.even_odd,
    power_spectrum: PowerSpectrum = _USUAL.power_spectrum,
    float32: Float32 = _USUAL.float32,
    motioncor_logs: MotioncorLogs = _USUAL.motioncor_logs,
    ctffind_files: CtffindFiles = _USUAL.ctf.ctffind_files,
) -> ChosenAlignment:
    """Turn the values of the options into settings; `on_command_line` says by its name if an option was a flag."""
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
                path=None if _is_none(gain) else gain,
                absent=_is_none(gain),
                required=require_gain,
                rotate_degrees=ROTATIONS[gain_rotate or "0"],
                flip=gain_flip or "none",
                operation=gain_operation,
                orientation=gain_orientation if gain_rotate is None and gain_flip is None else "given",
            ),
            defects=DefectSettings(path=defects, automatic=find_defects),
            eer=EerSettings(
                hardware_frames_per_frame=eer_frames,
                dose_per_frame_e_per_a2=eer_dose_per_frame,
                upsampling=2 if eer_upsampling == "2" else 1,
            ),
            frames=FrameSettings(first=_first_frame(first_frame, throw), last=last_frame, group=group),
            magnification=_magnification(mag_major, mag_minor, mag_angle),
            ctf=ctf_settings(
                wanted=ctf,
                phase_shift=phase_shift,
                group_dose=ctf_groups,
                defocus_range=defocus_range,
                ctffind_files=ctffind_files,
            ),
            patches=_patches(patches),
            bin_factor=bin,
            dose_weighting=dose_weighting,
            unweighted=unweighted,
            even_odd=even_odd,
            power_spectrum=power_spectrum,
            float32=float32,
            motioncor_logs=motioncor_logs,
            device=device,
            device_memory_gb=device_memory,
            threads=threads,
        ),
        flags=Acquisition(**flags),
        configured=Acquisition(**configured),
    )


def _is_none(gain: Path | None) -> bool:
    """Return whether the user says that there is no gain reference; a file of that name is given by a longer path."""
    return gain is not None and str(gain).lower() == "none"


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
