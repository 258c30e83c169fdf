"""What may be chosen about a simulated micrograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Camera = Literal["counting", "integrating"]
Weighting = Literal["none", "noise kept", "noise coloured"]
Content = Literal["specimen", "rings missing", "empty", "grid bar"]
_FILMS = {"carbon_area", "foil_area", "saturated_area"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrographSettings:
    """Everything that decides a simulated micrograph; equal settings give equal images.

    Attributes
    ----------
    defocus_u_angstrom, defocus_v_angstrom, angle_degrees : float
        Defocus of the specimen's middle at the image's centre, underfocus positive. At azimuth p it is
        (U + V) / 2 + (U - V) / 2 cos 2(p - angle); p is counted from +x towards +y of the rows, row 0 first.
    tilt_degrees, tilt_axis_degrees : float
        Defocus grows to the side of the axis that lies 90 degrees further, by tan(tilt) Å per Å.
    content : Content
        "rings missing": the specimen scatters and no contrast transfer function acts; "empty": a hole; "grid bar":
        hardly any electrons.
    water_motion_a2_per_e : float
        Mean square displacement of water molecules along an axis, Å² per e/Å² (McMullan et al. 2015, Ultramicroscopy
        158, 26: about 1 Å for 1 e/Å² in all).
    particle_area, carbon_area, foil_area, saturated_area : float
        Share of the image that has it: particles, a carbon film's edge, a metal foil's edge, a saturated spot.
    ice_crystals : int
        Crystals of hexagonal ice.
    ice_crystal_angstrom : float
        Their diameter: few large ones give spots, many small ones give rings.
    contaminations : int
        Dark lumps, as of ethane.
    drift_angstrom, drift_degrees : float
        Length of the motion that was not corrected, and its direction.
    vibration_angstrom : float
        Root mean square for each axis of motion in all directions.
    energy_spread_ev, semi_angle_mrad : float
        What limits coherence in time and in space.
    dose_weighting : Weighting
        Whether frames were weighted by dose, and whether that kept the noise's power at all frequencies.
    fixed_pattern : float
        Standard deviation of the pixels' sensitivity that remains after gain correction.
    """

    height: int = 2048
    width: int = 2048
    pixel_size_angstrom: float = 1.0
    voltage_kv: float = 300.0
    cs_mm: float = 2.7
    amplitude_contrast: float = 0.1
    defocus_u_angstrom: float = 15000.0
    defocus_v_angstrom: float = 14700.0
    angle_degrees: float = 30.0
    phase_shift_degrees: float = 0.0
    tilt_degrees: float = 0.0
    tilt_axis_degrees: float = 0.0
    content: Content = "specimen"
    ice_thickness_angstrom: float = 300.0
    ice_ring_angstrom: float = 3.7
    water_motion_a2_per_e: float = 0.25
    thickness_variation: float = 0.1
    particle_area: float = 0.2
    particle_diameter_angstrom: float = 120.0
    carbon_area: float = 0.0
    carbon_thickness_angstrom: float = 120.0
    foil_area: float = 0.0
    ice_crystals: int = 0
    ice_crystal_angstrom: float = 300.0
    contaminations: int = 0
    dose_e_per_a2: float = 40.0
    camera: Camera = "counting"
    energy_spread_ev: float = 0.7
    semi_angle_mrad: float = 0.03
    drift_angstrom: float = 0.5
    drift_degrees: float = 0.0
    vibration_angstrom: float = 0.4
    dose_weighting: Weighting = "none"
    hot_pixels_per_million: float = 0.0
    saturated_area: float = 0.0
    fixed_pattern: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 64:
            raise ValueError("a simulated micrograph has at least 64 x 64 px")
        if min(self.pixel_size_angstrom, self.voltage_kv, self.dose_e_per_a2, self.ice_thickness_angstrom) <= 0:
            raise ValueError("pixel size, voltage, dose and thickness are greater than zero")
        if self.defocus_u_angstrom < self.defocus_v_angstrom:
            raise ValueError("defocus U is not less than V")
        if not 0 <= abs(self.tilt_degrees) < 80:
            raise ValueError("a tilt is less than 80 degrees")
        for name in (*_FILMS, "particle_area"):
            if not 0 <= getattr(self, name) <= 0.9:
                raise ValueError(f"{name} is a share of the image from 0 to 0.9")

    @property
    def shape(self) -> tuple[int, int]:
        """Return height and width."""
        return self.height, self.width

    @property
    def has_rings(self) -> bool:
        """Return whether anything in the image tells its defocus."""
        return self.content == "specimen"
