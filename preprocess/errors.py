"""All errors of `preprocess`, as one tree.

* PreprocessError
  + UnreadableMovie         truncated, empty, corrupt
  + UnsupportedFormat       a file format or number type that is not supported
  + GainMismatch            a gain reference that does not fit the movie
  + GainMissing             no gain reference, where the user requires one
  + DefectMismatch          a list or map of defects that does not fit the movie
  + AcquisitionUnknown      a needed value is given nowhere
  + AcquisitionConflict     two sources give different values and no option decides
  + AcquisitionImplausible  a value that cannot be true, as in a wrong unit
  + ImpossibleSettings      settings that do not work with this movie
  + InputMissing            a file that the user named is not there
  + OutputRefused           an output exists, or two movies would write one output
  + CtfImpossible           an image that no CTF can be estimated from
  + NotFiniteOutput         a micrograph would hold NaN or infinity
  + KernelsUnknown          CRYOFERRY_KERNELS or CRYOFERRY_NVCOMP has a value that is not known
  + DeviceError             the device is missing or cannot be used
    - CupyMissing
    - DeviceOutOfMemory
      * DeviceTooSmall      even if nobody else used it
      * MachineOutOfMemory  on the CPU
    - DeviceLost            a CUDA call failed, and all later ones of this process will fail too
    - DeviceLacksFeature    the GPU code does not support what this movie needs
      * KernelNotCompiled   the GPU code cannot be compiled for the device

The user reads a class's docstring if the error has no text of its own, then its `hint`. `exit_code` is the command's.
"""

from __future__ import annotations

from typing import ClassVar


class PreprocessError(Exception):
    """The movie could not be processed."""

    exit_code: ClassVar[int] = 1
    hint: str = "Check the movie with another program, then try again."

    def __init__(self, detail: str = "", *, hint: str | None = None) -> None:
        super().__init__(detail or (type(self).__doc__ or "").strip().splitlines()[0])
        if hint is not None:
            self.hint = hint


class UnreadableMovie(PreprocessError):
    """The movie is truncated, empty or corrupt."""

    exit_code = 4
    hint = "Copy the movie from the microscope again. If it is damaged there too, leave it out."


class UnsupportedFormat(PreprocessError):
    """This file format is not supported."""

    exit_code = 4
    hint = "Give a movie in MRC, MRCS, TIFF or EER format."


class GainMismatch(PreprocessError):
    """The gain reference does not fit the movie."""

    exit_code = 2
    hint = "Give the gain reference of this session, and check --gain-rotate and --gain-flip."
    fits_rotated = False  # whether a quarter turn gives it the movie's shape


class GainMissing(PreprocessError):
    """No gain reference is known, and --require-gain asks for one."""

    exit_code = 2
    hint = "Give it with --gain FILE, or give --gain none if there is none."


class GainUnsure(PreprocessError):
    """The movies do not show how the camera's pixels differ."""

    hint = "Give more movies, of different places; or no gain reference, if the movies are gain-corrected already."


class DefectMismatch(PreprocessError):
    """The list or map of defects does not fit the movie."""

    exit_code = 2
    hint = "Give the defects of this camera, with the same number of pixels as the movie."


class AcquisitionUnknown(PreprocessError):
    """A value that the alignment needs is not known."""

    exit_code = 2
    hint = "Give the value as an option or in the configuration file."


class AcquisitionConflict(PreprocessError):
    """Two sources give different values for the same exposure."""

    exit_code = 2
    hint = "Give the right value as an option or in the configuration file."


class AcquisitionImplausible(PreprocessError):
    """A value about the exposure cannot be true."""

    exit_code = 2
    hint = "Give the right value as an option or in the configuration file."


class ImpossibleSettings(PreprocessError):
    """The settings do not fit the movie."""

    exit_code = 2
    hint = "Change the settings; `cryoferry align --help` explains them."


class InputMissing(PreprocessError):
    """A file that was named is not there."""

    exit_code = 2
    hint = "Check the path."


class OutputRefused(PreprocessError):
    """The output cannot be written there."""

    exit_code = 2
    hint = "Give another folder with --out."


class NotFiniteOutput(PreprocessError):
    """The micrograph would hold values that are not finite numbers."""

    exit_code = 4
    hint = "Look for NaN and huge values in the movie and its gain reference; please report it if there are none."


class CtfImpossible(PreprocessError):
    """The CTF of the image cannot be estimated."""

    exit_code = 4
    hint = "Look at the image. It needs 256 px along each axis at least, and pixels of 5 Å at most."


class KernelsUnknown(PreprocessError):
    """The environment asks for code that does not exist."""

    exit_code = 2
    hint = "Unset that variable, or give it one of these values."


class DeviceError(PreprocessError):
    """The device is missing or cannot be used."""

    exit_code = 2
    hint = "Use --device cpu, or see `cryoferry doctor`."


class CupyMissing(DeviceError):
    """CuPy, through which the GPU code runs, is not installed."""

    hint = "Install the extra that `cryoferry doctor` names (cuda12 or cuda13), or use --device cpu."


class DeviceOutOfMemory(DeviceError):
    """The device does not have enough memory for this movie."""

    exit_code = 5
    hint = "Use --device cpu, or fewer workers on each device."


class DeviceTooSmall(DeviceOutOfMemory):
    """The device can never hold this movie, whoever else uses it."""

    exit_code = 2


class MachineOutOfMemory(DeviceOutOfMemory):
    """The machine has too little memory for this movie."""

    hint = "Free memory, or raise the limit of memory (`ulimit -v`) if there is one; fewer --threads need less."


class DeviceLost(DeviceError):
    """The device failed, and this process can use it no more."""

    exit_code = 5
    hint = "Start the command again. If it fails again, see `nvidia-smi` and the system's log; or use --device cpu."


class DeviceLacksFeature(DeviceError):
    """The GPU code does not support something that this movie needs."""

    hint = "Use --device auto or cpu: the CPU can align this movie."


class KernelNotCompiled(DeviceLacksFeature):
    """The GPU code cannot be compiled for this device."""

    hint = "`cryoferry doctor` names the extra that fits the driver and the device; or use --device cpu."
