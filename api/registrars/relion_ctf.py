"""Lists the CTFs of a session for RELION, as its own CTF estimation does.

`micrographs_ctf.star` has the micrographs to go on with: accepted ones whose CTF is reliable, or that a person has
accepted. `micrographs_ctf_all.star` has all that have a CTF. A micrograph without one is in neither.

An estimate that is not reliable stands as it was found, with 0 in `rlnCtfValidationScore`, a column that RELION itself
fills only for Gctf, and with 1 where it is reliable. All rows have all columns: `rlnPhaseShift` is 0 where it was not
searched, which is what RELION takes where the column is missing, and `rlnCtfIceRingDensity` 0 where it is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from api.registrars import PresentVerdict, PublishedExposure
from api.registrars.relion_lists import NAME, MicrographList, file_name
from api.registrars.relion_optics import OpticsGroups, Row
from transfer.disk.files import make_link
from transfer.wire.exposure_record import FileRole
from transfer.wire.figures import (
    CTF_ASTIGMATISM_ANGLE,
    CTF_DEFOCUS_U,
    CTF_DEFOCUS_V,
    CTF_FIT_QUALITY,
    CTF_PHASE_SHIFT,
    CTF_RELIABLE,
    CTF_RESOLUTION,
    ICE_RING_DENSITY,
)
from transfer.wire.verdict import VerdictBy

ACCEPTED_STAR, ALL_STAR = "micrographs_ctf.star", "micrographs_ctf_all.star"
WORST_RESOLUTION_ANGSTROM = 25.0
"""RELION's own limit for what it lists."""
_RELIABLE = "rlnCtfValidationScore"
_COLUMNS = (
    NAME,
    "rlnOpticsGroup",
    "rlnCtfImage",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnCtfAstigmatism",
    "rlnDefocusAngle",
    "rlnCtfFigureOfMerit",
    "rlnCtfMaxResolution",
    "rlnPhaseShift",
    _RELIABLE,
    "rlnCtfIceRingDensity",
    "rlnMicrographMetadata",
    "rlnAccumMotionTotal",
    "rlnAccumMotionEarly",
    "rlnAccumMotionLate",
)


def has_ctf(figures: Mapping[str, float]) -> bool:
    """Return whether an exposure has a CTF, so that it is among all."""
    return {CTF_DEFOCUS_U, CTF_DEFOCUS_V, CTF_ASTIGMATISM_ANGLE} <= figures.keys()


def is_to_go_on_with(verdict: PresentVerdict, figures: Mapping[str, float]) -> bool:
    """Return whether an exposure that has a CTF is among those to go on with."""
    return _goes_on(verdict, figures.get(CTF_RELIABLE, 1.0))


def _goes_on(verdict: PresentVerdict, reliable: float) -> bool:
    return verdict.accepted and (bool(reliable) or verdict.by is VerdictBy.PERSON)


class CtfLists:
    """Both lists of one session's project."""

    def __init__(self, project: Path, optics: OpticsGroups) -> None:
        self._project = project
        self._all = MicrographList(project / ALL_STAR, _COLUMNS, optics)
        self._accepted = MicrographList(project / ACCEPTED_STAR, _COLUMNS, optics)
        if not self._accepted.path.exists():
            for name in self._all.names():
                self._accept(name, PresentVerdict())

    def put(self, row: Row, exposure: PublishedExposure) -> None:
        """List a micrograph, if it has a CTF.

        Parameters
        ----------
        row
            What it has in the list of all micrographs.
        exposure
            The exposure of that row.
        """
        columns = self.columns(row, exposure)
        if not columns:
            self.remove(row[NAME])
            return
        self._all.put(row | columns)
        self._accept(file_name(row[NAME]), exposure.verdict)

    def columns(self, row: Row, exposure: PublishedExposure) -> Row:
        """Return what a row says of the exposure's CTF; nothing if it has none."""
        figures = exposure.record.figures
        return {"rlnCtfImage": self._image(row, exposure), **_values(figures)} if has_ctf(figures) else {}

    def remove(self, micrograph: str) -> None:
        """List a micrograph no longer: its newest revision has no CTF, or is a tilt."""
        self._all.remove(file_name(micrograph))
        self._accepted.remove(file_name(micrograph))

    def judge(self, name: str, verdict: PresentVerdict) -> None:
        """Take over a verdict on a micrograph that may be listed."""
        if name in self._all:
            self._accept(name, verdict)

    def write(self) -> None:
        """Bring the files up to date, each in one step. They are made when the first CTF comes."""
        for ctfs in (self._all, self._accepted):
            if ctfs or ctfs.path.exists():
                ctfs.write()

    def _accept(self, name: str, verdict: PresentVerdict) -> None:
        row = self._all.row(name)
        if _goes_on(verdict, float(row[_RELIABLE])):
            self._accepted.put(row)
        else:
            self._accepted.remove(name)

    def _image(self, row: Row, exposure: PublishedExposure) -> str:
        """Return how RELION names the picture of the fit: it takes a file `.ctf` for MRC where `:mrc` follows."""
        spectrum = exposure.files.get(FileRole.CTF_SPECTRUM)
        if spectrum is None:
            return "None"
        link = "ctf" / Path(row[NAME]).relative_to("micrographs").with_suffix(".ctf")
        make_link(self._project / link, spectrum)
        return f"{link}:mrc"


def _values(figures: dict[str, float]) -> Row:
    defocus_u, defocus_v = figures[CTF_DEFOCUS_U], figures[CTF_DEFOCUS_V]
    values = {
        "rlnDefocusU": defocus_u,
        "rlnDefocusV": defocus_v,
        "rlnCtfAstigmatism": abs(defocus_u - defocus_v),
        "rlnDefocusAngle": figures[CTF_ASTIGMATISM_ANGLE],
        "rlnCtfFigureOfMerit": figures.get(CTF_FIT_QUALITY, 0.0),
        "rlnCtfMaxResolution": min(figures.get(CTF_RESOLUTION, WORST_RESOLUTION_ANGSTROM), WORST_RESOLUTION_ANGSTROM),
        "rlnPhaseShift": figures.get(CTF_PHASE_SHIFT, 0.0),
        _RELIABLE: figures.get(CTF_RELIABLE, 1.0),
        "rlnCtfIceRingDensity": figures.get(ICE_RING_DENSITY, 0.0),
    }
    return {name: f"{value:.6f}" for name, value in values.items()}
