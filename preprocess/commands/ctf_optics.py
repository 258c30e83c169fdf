"""The optics of the micrographs of `cryoferry ctf`: what the user says, and what headers say."""

from __future__ import annotations

from dataclasses import dataclass

from preprocess.ctf.optics import CtfOptics
from preprocess.errors import AcquisitionUnknown
from preprocess.exposure.acquisition import DEFAULTS
from preprocess.exposure.plausible import believed
from preprocess.micrograph_file import MicrographFile
from preprocess.movie_warning import MovieWarning

PIXEL_SIZE, VOLTAGE = "pixel_size_angstrom", "voltage_kv"
PIXEL_SIZE_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class KnownOptics:
    """The optics of one micrograph, where its pixel size comes from, and what a user should know about them."""

    optics: CtfOptics
    pixel_size_source: str
    warnings: tuple[MovieWarning, ...]


class UsersOptics:
    """What the user says about the microscope, by name, and where: `flag` or `configuration`."""

    def __init__(self, said: dict[str, tuple[float | None, str]]) -> None:
        self._warnings = list[MovieWarning]()
        usual = {"cs_mm": DEFAULTS.cs_mm, "amplitude_contrast": DEFAULTS.amplitude_contrast}
        self._values = {name: value for name, value in usual.items() if value is not None}
        for name, (value, source) in said.items():
            checked = believed({name: value}, source, self._warnings.append)[name]
            if checked is not None:
                self._values[name] = checked

    def refuse_unknown(self) -> None:
        """Refuse to begin without a voltage, which no image's header tells.

        Raises
        ------
        AcquisitionUnknown
        """
        if VOLTAGE not in self._values:
            raise AcquisitionUnknown(
                "the voltage of the microscope is not known",
                hint="Give it with --voltage, such as --voltage 300, or in the configuration file.",
            )

    def of(self, micrograph: MicrographFile) -> KnownOptics:
        """Return the optics of a micrograph; its header's pixel size counts where the user names none.

        Raises
        ------
        AcquisitionUnknown
            Nobody says the pixel size.
        """
        warnings = [*self._warnings, *micrograph.remarks]
        by_header = believed({PIXEL_SIZE: micrograph.header_pixel_size_angstrom}, "header", warnings.append)[PIXEL_SIZE]
        by_user = self._values.get(PIXEL_SIZE)
        pixel_size = by_user or by_header
        if pixel_size is None:
            raise AcquisitionUnknown(
                f"{micrograph.path}: its pixel size is not known: the header does not say it",
                hint="Give it with --pixel-size, in Å.",
            )
        if by_user and by_header and abs(by_user - by_header) > PIXEL_SIZE_TOLERANCE * by_user:
            text = f"the header says a pixel size of {by_header:.4g} Å; {by_user:.4g} Å is used, as --pixel-size says"
            warnings.append(MovieWarning("sources-differ", text))
        values = {**self._values, PIXEL_SIZE: pixel_size}
        return KnownOptics(CtfOptics(**values), "option" if by_user else "header", tuple(warnings))
