"""What an estimator says about an image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CtfQuestion:
    """What is known about an image, and what is asked; the range of defocus is the same for every program."""

    pixel_size_angstrom: float
    voltage_kv: float
    cs_mm: float
    amplitude_contrast: float
    find_phase_shift: bool = False
    lowest_defocus_angstrom: float = 1000.0
    highest_defocus_angstrom: float = 50000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CtfAnswer:
    """An estimator's answer.

    Attributes
    ----------
    method : str
        The program, and the number of its threads.
    defocus_u_angstrom, defocus_v_angstrom, angle_degrees, phase_shift_degrees : float
        As in `MicrographSettings`.
    fit_resolution_angstrom, score : float
        By the program's own definition.
    reliable : bool
        Whether the program, or our reading of its figures, relies on it.
    sigma_angstrom : float | None
        Stated standard error of the mean defocus; None: the program states none.
    significance, margin : float | None
        What cryoferry's reliability is decided by.
    tilt_degrees, tilt_axis_degrees : float | None
        Tilt that was found, and its axis, as in `MicrographSettings`; None: none.
    thickness_angstrom : float | None
        Thickness that was found; None: none.
    reason : str
        Why it is not reliable.
    wall_s, cpu_s : float
        Time. CTFFIND's is that of the whole program, which reads the file; cryoferry's is without reading it.
    failure : str
        Why there is no answer; all other figures mean nothing then.
    """

    method: str
    defocus_u_angstrom: float = 0.0
    defocus_v_angstrom: float = 0.0
    angle_degrees: float = 0.0
    phase_shift_degrees: float = 0.0
    fit_resolution_angstrom: float = 0.0
    score: float = 0.0
    reliable: bool = False
    sigma_angstrom: float | None = None
    significance: float | None = None
    margin: float | None = None
    tilt_degrees: float | None = None
    tilt_axis_degrees: float | None = None
    thickness_angstrom: float | None = None
    reason: str = ""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    failure: str = ""

    @property
    def mean_defocus_angstrom(self) -> float:
        """Return the mean defocus."""
        return (self.defocus_u_angstrom + self.defocus_v_angstrom) / 2
