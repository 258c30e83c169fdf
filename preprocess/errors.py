"""Everything that can be wrong with a movie, as one tree.

* PreprocessError
  + UnreadableMovie         truncated, empty, corrupt
  + UnsupportedFormat       a format or mode that is not read
  + GainMismatch            a gain reference that does not fit the movie
  + DefectMismatch          a list or map of defects that does not fit the movie
  + AcquisitionUnknown      something must be known and nobody says it
  + AcquisitionConflict     two sources contradict each other and no flag decides
  + ImpossibleSettings      settings that this movie cannot be aligned by
  + OutputRefused           an output exists, or two movies would write one output
  + DeviceError             the device is missing or of no use
    - DeviceOutOfMemory
    - DeviceLacksFeature    the device's code cannot do what this movie needs

A class's docstring is the sentence that the user reads; `exit_code` and `hint` are its command's.
"""

from __future__ import annotations

from typing import ClassVar


class PreprocessError(Exception):
    """The movie could not be processed."""

    exit_code: ClassVar[int] = 1
    hint: str = "Look at the movie with another program; then try again."

    def __init__(self, detail: str = "", *, hint: str | None = None) -> None:
        super().__init__(detail or (type(self).__doc__ or "").strip().splitlines()[0])
        if hint is not None:
            self.hint = hint


class UnreadableMovie(PreprocessError):
    """The movie is truncated, empty or corrupt."""

    exit_code = 4
    hint = "Copy it from the microscope again; if it is damaged there, leave it out."


class UnsupportedFormat(PreprocessError):
    """This format is not read."""

    exit_code = 4
    hint = "Movies are MRC, MRCS, TIFF or EER."


class GainMismatch(PreprocessError):
    """The gain reference does not fit the movie."""

    exit_code = 2
    hint = "Give the session's own gain reference, and check --gain-rotate and --gain-flip."


class DefectMismatch(PreprocessError):
    """The defects do not fit the movie."""

    exit_code = 2
    hint = "Give the defects of this camera, at the movie's own sampling."


class AcquisitionUnknown(PreprocessError):
    """Something that must be known about the exposure is said nowhere."""

    exit_code = 2
    hint = "Give it as a flag or in the configuration file."


class AcquisitionConflict(PreprocessError):
    """Two sources contradict each other about the exposure."""

    exit_code = 2
    hint = "Decide with a flag or in the configuration file."


class ImpossibleSettings(PreprocessError):
    """The settings do not fit the movie."""

    exit_code = 2
    hint = "See `cryoferry align --help`."


class OutputRefused(PreprocessError):
    """The output cannot be written there."""

    exit_code = 2
    hint = "Give another --out."


class DeviceError(PreprocessError):
    """The device is missing or cannot be used."""

    exit_code = 2
    hint = "Use --device cpu, or see `cryoferry doctor`."


class DeviceOutOfMemory(DeviceError):
    """The device has not enough memory for this movie."""

    exit_code = 5
    hint = "Use --device cpu, or fewer workers for each device."


class DeviceLacksFeature(DeviceError):
    """This movie needs something that the device's code cannot do."""

    hint = "Use --device auto or cpu: the CPU aligns such movies."
