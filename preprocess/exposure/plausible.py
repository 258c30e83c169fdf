"""Which values about an exposure can be true, and where two sources contradict each other.

What the user says is used, or refused where it cannot be: a wrong unit would spoil every movie of a session. What a
sidecar or a header says is left out where it cannot be true, and it is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from preprocess.errors import AcquisitionImplausible
from preprocess.movie_warning import MovieWarning

Warn = Callable[[MovieWarning], None]

SURELY_VOLTS = 10_000.0
"""No microscope has so many kilovolts."""
VOLTAGE_TOLERANCE, DOSE_TOLERANCE = 0.01, 0.25
"""By what share two sources may differ without a word; doses are measured in different places."""
USER = frozenset({"flag", "configuration"})


@dataclass(frozen=True, slots=True)
class _ValueLimits:
    lowest: float
    highest: float
    what: str
    unit: str
    option: str


_LIMITS = {
    "pixel_size_angstrom": _ValueLimits(0.1, 20.0, "the pixel size", "Å", "--pixel-size"),
    "voltage_kv": _ValueLimits(10.0, 1500.0, "the voltage", "kV", "--voltage"),
    "dose_per_frame_e_per_a2": _ValueLimits(1e-4, 200.0, "the dose of a frame", "e/Å²", "--dose-per-frame"),
    "total_dose_e_per_a2": _ValueLimits(1e-4, 2000.0, "the total dose", "e/Å²", "--total-dose"),
    "pre_exposure_e_per_a2": _ValueLimits(0.0, 2000.0, "the dose before the first frame", "e/Å²", "--pre-exposure"),
}
LIMITED = tuple(_LIMITS)
"""Names of the values that have limits."""


def believed(values: Mapping[str, float | None], source: str, warn: Warn) -> dict[str, float | None]:
    """Return what one source says about the values that have limits, as far as it can be true; the voltage in kV.

    Raises
    ------
    AcquisitionImplausible
        The user says what cannot be.
    """
    found = dict(values)
    found["voltage_kv"] = _in_kilovolts(found.get("voltage_kv"), source, warn)
    for name, limits in _LIMITS.items():
        value = found.get(name)
        if not value or limits.lowest <= value <= limits.highest:
            continue
        text = (
            f"{limits.what} is {value:.4g} {limits.unit} by its {source}, which cannot be true (it lies between"
            f" {limits.lowest:g} and {limits.highest:g}): check the unit"
        )
        if source in USER:
            raise AcquisitionImplausible(text, hint=f"Give the right value with {limits.option}.")
        warn(MovieWarning("implausible-value", f"{text}; it is not used"))
        found[name] = None
    return found


def _in_kilovolts(said: float | None, source: str, warn: Warn) -> float | None:
    if not said:
        return said
    kilovolts = said
    if said >= SURELY_VOLTS:
        kilovolts = said / 1000
    elif source == "epu-xml" and said < 1:  # EPU writes volts: this one wrote kilovolts
        kilovolts = said * 1000
    if kilovolts != said:
        text = f"the voltage is {said:g} kV by its {source}, which is in the wrong unit: {kilovolts:g} kV is used"
        warn(MovieWarning("voltage-unit", text))
    return kilovolts


def warn_of_contradictions(sources: Sequence[tuple[str, Mapping[str, float | None]]], warn: Warn) -> None:
    """Say where sources differ about voltage or dose; the first one that says something is used."""
    tolerances = {"voltage_kv": VOLTAGE_TOLERANCE, "dose_per_frame_e_per_a2": DOSE_TOLERANCE}
    for name, tolerance in tolerances.items():
        known = [(source, value) for source, values in sources if (value := values[name])]
        for source, value in known[1:]:
            first_source, first = known[0]
            if abs(value - first) > tolerance * max(first, value):
                limits = _LIMITS[name]
                text = (
                    f"{limits.what} is {first:.4g} {limits.unit} by its {first_source} and {value:.4g} {limits.unit} by"
                    f" its {source}: give the right one with {limits.option}"
                )
                warn(MovieWarning("sources-differ", text))
