"""Registers each session in a folder where RELION can be run.

`DATA/sessions/NAME/relion/corrected_micrographs.star` lists the micrographs as RELION's own motion correction does
(RELION 3.1 and later: optics groups), with the STAR file of each movie's motion. The files that it names are links in
`micrographs/` and `ctf/` of the same folder, so RELION writes its outputs below its job's folder. Motion files in
`motion/` are copies, in which movies have their folders (`api.registrars.relion_motion`). Sums without dose weighting
and of even and odd frames are linked in `unweighted/`, `even/` and `odd/`, spectra for CTFFIND in `power_spectra/`.
Micrographs with a CTF stand in lists of their own too (`api.registrars.relion_ctf`), tilts in those alone that are for
tilts (`api.registrars.relion_tilts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from api.registrars import ChangedVerdict, PublishedExposure, RegistrationOutcome, SessionPlace
from api.registrars.float32 import SUMS, registered_micrograph, registered_sums
from api.registrars.reader_names import reader_name
from api.registrars.relion_ctf import CtfLists
from api.registrars.relion_lists import ABSENT, NAME, MicrographList, file_name
from api.registrars.relion_motion import write_motion_star
from api.registrars.relion_mtf import give_mtf
from api.registrars.relion_optics import GROUP, OpticsGroups, Row
from api.registrars.relion_tilts import TiltLists
from api.registrars.settings import RegistrarSettings
from api.registrars.shared_optics import SharedOptics
from transfer.disk.files import make_link
from transfer.wire.exposure_record import FileRole
from transfer.wire.figures import MOTION_EARLY, MOTION_LATE, MOTION_TOTAL
from transfer.wire.protocol import RegistrationState

STAR = "corrected_micrographs.star"
MOTION = {
    "rlnAccumMotionTotal": MOTION_TOTAL,
    "rlnAccumMotionEarly": MOTION_EARLY,
    "rlnAccumMotionLate": MOTION_LATE,
}
"""The figure of each column."""
COLUMNS = (NAME, "rlnMicrographMetadata", GROUP, *MOTION)
"""The columns of a row of a micrograph, in their order."""
PRE_EXPOSURE = "rlnMicrographPreExposure"
OTHER_SUMS = {
    FileRole.MICROGRAPH_UNWEIGHTED: "rlnMicrographNameNoDW",
    FileRole.MICROGRAPH_EVEN: "rlnMicrographNameEven",
    FileRole.MICROGRAPH_ODD: "rlnMicrographNameOdd",
}
"""The column of each other sum.

As `MotioncorrRunner::generateLogFilePDFAndWriteStarFiles` names them (RELION 5.0, src/motioncorr_runner.cpp; labels in
src/metadata_label.h), which writes the dose before and the even and odd sums of tilts alone. RELION 3.1 does not know
the labels of even and odd sums, says so and goes on.
"""


POWER_SPECTRUM = "rlnCtfPowerSpectrum"
OPTIONAL = (PRE_EXPOSURE, *OTHER_SUMS.values(), POWER_SPECTRUM)


class SessionLists:
    """All lists of one session's project."""

    def __init__(self, project: Path, optics: OpticsGroups) -> None:
        self.optics = optics
        self.micrographs = MicrographList(project / STAR, COLUMNS, self.optics, OPTIONAL)
        self.ctfs = CtfLists(project, self.optics)
        self.tilts = TiltLists(project)

    def put(self, row: Row, exposure: PublishedExposure) -> None:
        """List an exposure where it belongs, and in no other list: an earlier revision may have been a tilt or not."""
        if exposure.record.acquisition.tilt_series is not None:
            self.tilts.put(row | self.ctfs.columns(row, exposure), exposure.record)
            self.micrographs.remove(file_name(row[NAME]))
            self.ctfs.remove(row[NAME])
            return
        self.tilts.remove(row[NAME])
        row[GROUP] = self.optics.number_of(file_name(row[NAME]), exposure.record)
        self.micrographs.put(row)
        self.ctfs.put(row, exposure)

    def write(self) -> None:
        """Bring the files up to date; a session of tilts alone has no list of micrographs."""
        self.optics.write()
        if self.micrographs or self.tilts.are_empty or self.micrographs.path.exists():
            self.micrographs.write()
        self.ctfs.write()
        self.tilts.write()


class RelionRegistrar:
    """The registrar `relion`. Its project is the folder `relion` in the session's folder."""

    name = "relion"
    verdict_pause_s = 3.0
    warning = ""

    def __init__(self, settings: RegistrarSettings, optics: SharedOptics | None = None) -> None:
        self._optics = optics or SharedOptics()
        self._float16 = settings.float16
        self._mtf = settings.mtf
        self._sessions: dict[str, SessionLists] = {}

    def project(self, place: SessionPlace) -> Path:
        """Return the folder to run RELION in."""
        return place.folder / "relion"

    def stop(self) -> None:
        """Do nothing: all is written."""

    def check(self) -> None:
        """Do nothing: this registrar needs files only."""

    def update_project(self, place: SessionPlace, *, ended: bool) -> bool:
        """Return whether the STAR files are final; they are complete after every batch."""
        if ended:
            self._sessions.pop(place.name, None)  # the memory of a session that is over
        return ended

    def verdicts_changed(self, place: SessionPlace, verdicts: Sequence[ChangedVerdict]) -> None:
        """List accepted micrographs among those to go on with, and others not."""
        ctfs = self._lists(place).ctfs
        for changed in verdicts:
            ctfs.judge(reader_name(changed.micrograph_name), changed.verdict)
        ctfs.write()

    def register(self, place: SessionPlace, exposures: Sequence[PublishedExposure]) -> dict[int, RegistrationOutcome]:
        """List exposures in the session's STAR files."""
        lists = self._lists(place)
        outcomes: dict[int, RegistrationOutcome] = {}
        for exposure in exposures:
            try:
                row = self._row(place, exposure)
            except (FileNotFoundError, ValueError) as error:
                outcomes[exposure.number] = RegistrationOutcome(RegistrationState.FAILED, str(error))
                continue
            lists.put(row, exposure)
            outcomes[exposure.number] = RegistrationOutcome(RegistrationState.REGISTERED)
        lists.write()
        return outcomes

    def _lists(self, place: SessionPlace) -> SessionLists:
        if place.name not in self._sessions:
            give_mtf(self._mtf, self.project(place))
            self._sessions[place.name] = SessionLists(self.project(place), self._optics.of(place))
        return self._sessions[place.name]

    def _row(self, place: SessionPlace, exposure: PublishedExposure) -> Row:
        project, record = self.project(place), exposure.record
        revision = Path() if record.revision == 1 else Path(f"revision-{record.revision}")
        registered = registered_micrograph(place, exposure, float16=self._float16)
        micrograph = "micrographs" / revision / registered.name
        make_link(project / micrograph, registered)
        metadata = ABSENT
        motion_star = exposure.files.get(FileRole.MOTION_STAR)
        if motion_star:
            copy = ("motion" / revision / micrograph.name).with_suffix(".star")
            write_motion_star(motion_star, project / copy, record)
            metadata = str(copy)
        return {
            NAME: str(micrograph),
            "rlnMicrographMetadata": metadata,
            GROUP: "",
            **{label: f"{record.figures.get(name, 0.0):.6f}" for label, name in MOTION.items()},
            PRE_EXPOSURE: f"{record.acquisition.pre_exposure_e_per_a2:.6f}",
            **self._other_sums(place, exposure, revision / micrograph.name),
        }

    def _other_sums(self, place: SessionPlace, exposure: PublishedExposure, name: Path) -> Row:
        """Return the columns of the other sums that the exposure has, and of its power spectrum."""
        row: Row = {}
        for role, registered in registered_sums(place, exposure, float16=self._float16).items():
            link = SUMS[role] / name
            make_link(self.project(place) / link, registered)
            row[OTHER_SUMS[role]] = str(link)
        if FileRole.POWER_SPECTRUM in exposure.files:
            link = "power_spectra" / name
            make_link(self.project(place) / link, exposure.files[FileRole.POWER_SPECTRUM])
            row[POWER_SPECTRUM] = str(link)
        return row
