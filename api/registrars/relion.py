"""Registers each session in a folder where RELION can be run.

`DATA/sessions/NAME/relion/corrected_micrographs.star` lists the micrographs as RELION's own motion correction does
(RELION 3.1 and later: optics groups), with the STAR file of each movie's motion. The files that it names are links in
`micrographs/` and `motion/` of the same folder, so RELION writes its outputs below its job's folder. Tilts stand in
lists of their own (`api.registrars.relion_tilts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from api.registrars import ChangedVerdict, PublishedExposure, RegistrationOutcome, SessionPlace
from api.registrars.float32 import registered_micrograph
from api.registrars.relion_tilts import TiltLists
from api.registrars.settings import RegistrarSettings
from api.registrars.star import FileMark, append_rows, read_star, write_star
from transfer.disk import make_link
from transfer.wire.exposure_record import ExposureRecord, FileRole
from transfer.wire.figures import MOTION_EARLY, MOTION_LATE, MOTION_TOTAL
from transfer.wire.protocol import RegistrationState

STAR = "corrected_micrographs.star"
OPTICS, MICROGRAPHS = "optics", "micrographs"
NO_METADATA = "None"
MOTION = {
    "rlnAccumMotionTotal": MOTION_TOTAL,
    "rlnAccumMotionEarly": MOTION_EARLY,
    "rlnAccumMotionLate": MOTION_LATE,
}
"""The figure of each column."""
COLUMNS = ("rlnMicrographName", "rlnMicrographMetadata", "rlnOpticsGroup", *MOTION)
"""The columns of a row of a micrograph, in their order."""

Row = dict[str, str]


@dataclass(slots=True)
class Listing:
    """What a session's STAR file lists.

    Attributes
    ----------
    optics
        Optics groups by their values.
    micrographs
        Rows of micrographs by file name.
    mark
        Of the file as it was written last; None: it has to be written anew.
    """

    optics: dict[tuple[str, ...], Row] = field(default_factory=dict)
    micrographs: dict[str, str] = field(default_factory=dict)
    mark: FileMark | None = None

    def put(self, row: Row) -> str | None:
        """List a micrograph; return its row if it is a new one."""
        name, line = Path(row["rlnMicrographName"]).name, " ".join(row.values())
        known = self.micrographs.get(name)
        self.micrographs[name] = line
        if known is None:
            return line
        if known != line:
            self.mark = None
        return None

    def remove(self, row: Row) -> None:
        """List a micrograph no longer: its newest revision is a tilt."""
        if self.micrographs.pop(Path(row["rlnMicrographName"]).name, None) is not None:
            self.mark = None


class RelionRegistrar:
    """The registrar `relion`. Its project is the folder `relion` in the session's folder."""

    name = "relion"

    def __init__(self, settings: RegistrarSettings) -> None:
        self._float16 = settings.float16
        self._listings: dict[str, Listing] = {}
        self._tilts: dict[str, TiltLists] = {}

    def project(self, place: SessionPlace) -> Path:
        """Return the folder to run RELION in."""
        return place.folder / "relion"

    def check(self) -> None:
        """Do nothing: this registrar needs files only."""

    def update_project(self, place: SessionPlace, *, ended: bool) -> bool:
        """Return whether the STAR file is final; it is complete after every batch."""
        if ended:
            self._listings.pop(place.name, None)  # the memory of a session that is over
            self._tilts.pop(place.name, None)
        return ended

    def verdicts_changed(self, place: SessionPlace, verdicts: Sequence[ChangedVerdict]) -> None:
        """Do nothing: the list of micrographs has all of them."""

    def register(self, place: SessionPlace, exposures: Sequence[PublishedExposure]) -> dict[int, RegistrationOutcome]:
        """List exposures in the session's STAR file.

        Rows are appended, so that the cost of one does not grow with the list. When a row changes, or an optics group
        is new, the file is replaced in one step.
        """
        listing, tilts = self._listing(place), self._tilts_of(place)
        outcomes: dict[int, RegistrationOutcome] = {}
        added: list[str] = []
        for exposure in exposures:
            try:
                row = self._row(place, exposure)
            except (FileNotFoundError, ValueError) as error:
                outcomes[exposure.number] = RegistrationOutcome(RegistrationState.FAILED, str(error))
                continue
            line = None
            if exposure.record.acquisition.tilt_series is not None:
                tilts.put(row, exposure.record)
                listing.remove(row)
            else:
                tilts.remove(row["rlnMicrographName"])
                row["rlnOpticsGroup"] = _optics_group(listing, exposure.record)
                line = listing.put(row)
            added += [line] if line else []
            outcomes[exposure.number] = RegistrationOutcome(RegistrationState.REGISTERED)
        self._write(place, listing, added)
        tilts.write()
        return outcomes

    def _tilts_of(self, place: SessionPlace) -> TiltLists:
        if place.name not in self._tilts:
            self._tilts[place.name] = TiltLists(self.project(place))
        return self._tilts[place.name]

    def _write(self, place: SessionPlace, listing: Listing, added: list[str]) -> None:
        path = self.project(place) / STAR
        is_of_tilts = not listing.micrographs and not self._tilts_of(place).are_empty
        if is_of_tilts and not path.exists():  # a session of tilts alone
            return
        mark, listing.mark = listing.mark, None  # the file is written anew after an error
        if mark is not None:
            mark = append_rows(path, mark, added)
        if mark is None:
            groups = list(listing.optics.values())
            mark = write_star(
                path,
                {
                    OPTICS: (tuple(groups[0]) if groups else (), (" ".join(group.values()) for group in groups)),
                    MICROGRAPHS: (COLUMNS, listing.micrographs.values()),
                },
            )
        if listing.micrographs:  # or else the file has no table of micrographs yet
            listing.mark = mark

    def _listing(self, place: SessionPlace) -> Listing:
        listing = self._listings.get(place.name)
        if listing is None:
            listing = self._listings[place.name] = Listing()
            path = self.project(place) / STAR
            tables = read_star(path) if path.exists() else {}
            if OPTICS in tables:
                listing.optics = {_optics_key(row): row for row in tables[OPTICS].rows()}
            if MICROGRAPHS in tables:
                lines = tables[MICROGRAPHS].lines
                listing.micrographs = {Path(line.split(maxsplit=1)[0]).name: line for line in lines}
        return listing

    def _row(self, place: SessionPlace, exposure: PublishedExposure) -> Row:
        project, record = self.project(place), exposure.record
        revision = Path() if record.revision == 1 else Path(f"revision-{record.revision}")
        registered = registered_micrograph(place, exposure, float16=self._float16)
        micrograph = "micrographs" / revision / registered.name
        make_link(project / micrograph, registered)
        metadata = NO_METADATA
        motion_star = exposure.files.get(FileRole.MOTION_STAR)
        if motion_star:
            link = ("motion" / revision / micrograph.name).with_suffix(".star")
            make_link(project / link, motion_star)
            metadata = str(link)
        return {
            "rlnMicrographName": str(micrograph),
            "rlnMicrographMetadata": metadata,
            "rlnOpticsGroup": "",
            **{label: f"{record.figures.get(name, 0.0):.6f}" for label, name in MOTION.items()},
        }


def _optics(record: ExposureRecord) -> Row:
    acquisition = record.acquisition
    return {
        "rlnMicrographOriginalPixelSize": f"{acquisition.movie_pixel_size_angstrom:.6f}",
        "rlnMicrographPixelSize": f"{record.micrograph_pixel_size_angstrom:.6f}",
        "rlnVoltage": f"{acquisition.voltage_kv:.6f}",
        "rlnSphericalAberration": f"{acquisition.cs_mm:.6f}",
        "rlnAmplitudeContrast": f"{acquisition.amplitude_contrast:.6f}",
    }


def _optics_key(row: Row) -> tuple[str, ...]:
    return tuple(value for name, value in row.items() if name not in ("rlnOpticsGroup", "rlnOpticsGroupName"))


def _optics_group(listing: Listing, record: ExposureRecord) -> str:
    """Return the number of the optics group that has the record's values. A group never changes its number."""
    optics = _optics(record)
    row = listing.optics.get(_optics_key(optics))
    if row is None:
        number = str(len(listing.optics) + 1)
        row = {"rlnOpticsGroupName": f"opticsGroup{number}", "rlnOpticsGroup": number, **optics}
        listing.optics[_optics_key(optics)] = row
        listing.mark = None
    return row["rlnOpticsGroup"]
