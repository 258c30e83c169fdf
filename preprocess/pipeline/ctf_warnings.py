"""Sentences about a movie's CTF that a person should read: what is wrong with the micrograph, and what to try.

The thresholds are cautious: what many sessions would use without a second look gives none of these.
"""

from __future__ import annotations

from preprocess.ctf.estimate import CtfEstimate
from preprocess.movie_warning import MovieWarning

POOR_RESOLUTION_ANGSTROM = 10.0
LARGE_ASTIGMATISM_ANGSTROM, LARGE_ASTIGMATISM = 1000.0, 0.1
"""Both, the second as a part of the mean defocus."""
OFF_TARGET_ANGSTROM, OFF_TARGET = 5000.0, 0.5
"""Both, the second as a part of the intended defocus."""
CRYSTALLINE_THICKNESS, CRYSTALLINE_ICINESS = 1.5, 1.3
"""Both: `IceFigures.relative_thickness` and `.iciness`. Simulated vitreous ice of 200 to 2000 Å has up to 1.24 and 1.5,
many small crystals 2.1 and 2.0."""
THICK_ANGSTROM = 2000.0
SURE = 3.0
"""Standard errors by which a figure must be beyond its threshold."""


def without_voltage() -> MovieWarning:
    """Return what is said of a movie whose voltage nobody knows."""
    text = "the CTF is not estimated, because the voltage is not known: give --voltage, or --no-ctf"
    return MovieWarning("ctf-not-estimated", text)


def not_estimated(why: str) -> MovieWarning:
    """Return what is said of a movie whose CTF cannot be estimated at all."""
    text = f"the CTF cannot be estimated: {why}. Look at the thumbnail; --no-ctf leaves it out"
    return MovieWarning("ctf-not-estimated", text)


def ctf_warnings(ctf: CtfEstimate, target_angstrom: float | None) -> list[MovieWarning]:
    """Return what a person should know; `target_angstrom` is the intended defocus, if it is known."""
    defocus = ctf.mean_defocus_angstrom
    if not ctf.reliable:
        text = f"the CTF is not reliable (defocus {_um(defocus)}): {ctf.reason}"
        return [MovieWarning("ctf-unreliable", text.rstrip(".")), *_ice_warnings(ctf)]
    found = _ice_warnings(ctf)
    if ctf.fit_resolution_angstrom > POOR_RESOLUTION_ANGSTROM:
        text = (
            f"the CTF fits to {ctf.fit_resolution_angstrom:.1f} Å only: look for drift, thick ice or an empty hole in"
            " the thumbnail and the motion plot, and leave the micrograph out if its rings are of no use"
        )
        found.append(MovieWarning("ctf-poor", text))
    least = max(LARGE_ASTIGMATISM_ANGSTROM, LARGE_ASTIGMATISM * defocus) + 2 * SURE * ctf.sigma_astigmatism_angstrom
    if ctf.astigmatism_angstrom > least:
        text = (
            f"the astigmatism is large, {ctf.astigmatism_angstrom:.0f} Å at a defocus of {_um(defocus)}: correct the"
            " objective lens' stigmator if other micrographs show the same"
        )
        found.append(MovieWarning("astigmatism-large", text))
    if target_angstrom is not None:
        off = abs(defocus - target_angstrom)
        if off > max(OFF_TARGET_ANGSTROM, OFF_TARGET * abs(target_angstrom)) + SURE * ctf.sigma_angstrom:
            text = (
                f"the defocus is {_um(defocus)}, but {_um(target_angstrom)} was intended: check the autofocus and the"
                " eucentric height, if other micrographs show the same"
            )
            found.append(MovieWarning("defocus-off-target", text))
    return found


def _ice_warnings(ctf: CtfEstimate) -> list[MovieWarning]:
    relative, iciness = ctf.ice.relative_thickness, ctf.ice.iciness
    if (
        relative is not None
        and iciness is not None
        and relative > CRYSTALLINE_THICKNESS
        and iciness > CRYSTALLINE_ICINESS
    ):
        text = (
            f"the ice is crystalline: the spectrum is {relative:.1f} times as strong at 3.7 Å as around it. Leave the"
            " micrograph out; if others show the same, look at the grid's temperature and at how it was vitrified"
        )
        return [MovieWarning("ice-crystalline", text)]
    if ctf.reliable and ctf.thickness_angstrom is not None and ctf.thickness_angstrom > THICK_ANGSTROM:
        text = (
            f"the specimen is about {ctf.thickness_angstrom:.0f} Å thick, which few electrons pass without being"
            " scattered twice: look for thinner places"
        )
        return [MovieWarning("ice-thick", text)]
    return []


def _um(angstrom: float) -> str:
    return f"{angstrom / 1e4:.2f} µm"
