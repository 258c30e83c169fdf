"""Registers each session in a live Scipion project.

The receiver writes the session's journal. A follower, which is a protocol that Scipion itself runs, reads it, registers
the exposures and answers. An exposure counts as registered when the follower has answered, after it committed its set.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from api.registrars import (
    ChangedVerdict,
    PresentVerdict,
    PublishedExposure,
    RegistrarUnavailable,
    RegistrationOutcome,
    SessionPlace,
)
from api.registrars.float32 import registered_micrograph
from api.registrars.reader_names import reader_name
from api.registrars.relion_optics import OpticsGroups
from api.registrars.scipion_bridge import ScipionBridge, find_installation
from api.registrars.scipion_followers import Followers
from api.registrars.scipion_journal import FORMAT, MicrographVerdict, SessionJournal
from api.registrars.scipion_workflow import Workflows
from api.registrars.settings import RegistrarSettings
from api.registrars.shared_optics import SharedOptics
from transfer.wire.exposure_record import FileRole
from transfer.wire.protocol import RegistrationState

CHECK_TIMEOUT_S = 60.0
WORKFLOW_TIMEOUT_S = 180.0
PICTURES = {
    "thumbnail": FileRole.THUMBNAIL,
    "ctf_spectrum": FileRole.CTF_SPECTRUM,
    "spectrum": FileRole.SPECTRUM,
    "motion_plot": FileRole.MOTION_PLOT,
    "power_spectrum": FileRole.POWER_SPECTRUM,
}
"""Keys of a journal entry's pictures."""


A_TILT = "a tilt of"
"""How the detail of a registration begins whose exposure is in no file for Scipion."""


class ScipionRegistrar:
    """The registrar `scipion`.

    Parameters
    ----------
    settings
        Where Scipion is, which workflow each session gets, and whether Scipion reads float16.
    projects
        Folder in which a project is made for each session.
    optics
        The optics groups that all registrars share.
    """

    name = "scipion"
    verdict_pause_s = 0.0  # the journal grows by lines, and the follower keeps a pause of its own

    def __init__(self, settings: RegistrarSettings, projects: Path, optics: SharedOptics | None = None) -> None:
        self._scipion = settings.scipion or ""
        self._bridge = ScipionBridge()
        self._ends_followers = settings.followers == "end"
        self._float16 = settings.float16
        self._projects = projects
        self._journals: dict[str, SessionJournal] = {}
        self._followers = Followers(settings, projects, self._bridge, self._journals)
        self._shared_optics = optics or SharedOptics()
        self._optics: dict[str, OpticsGroups] = {}
        self._workflows = Workflows(settings.scipion_workflow, self._ask_for_workflow)

    @property
    def warning(self) -> str:
        """Which workflows are refused."""
        return self._workflows.warning

    def project(self, place: SessionPlace) -> Path:
        """Return the project's folder."""
        return self._projects / place.name

    def check(self) -> None:
        """Return if Scipion and the plugin answer, and the plugin reads what this receiver writes.

        Whether they can run the workflow of all sessions is noted.

        Raises
        ------
        RegistrarUnavailable
            One of them does not.
        """
        self._projects.mkdir(parents=True, exist_ok=True)
        installation, log = find_installation(self._scipion), self._projects / "bridge.log"
        request = {
            "do": "check",
            "folders": [str(self._projects)],
            "workflow": self._workflows.content_of_all(),
        }
        answer = self._bridge.ask(installation, request, log=log, timeout_s=CHECK_TIMEOUT_S)
        if request["workflow"]:
            self._workflows.refuse_for_all(answer.get("refused", ""))
        reads = int(answer.get("journal_format", 1))
        if reads < FORMAT:
            raise RegistrarUnavailable(
                f"the Scipion plugin {answer.get('plugin', '')} in {self._scipion} reads the journal's format {reads}, "
                f"this receiver writes format {FORMAT}: install the plugin of the receiver's version there"
            )

    def register(self, place: SessionPlace, exposures: Sequence[PublishedExposure]) -> dict[int, RegistrationOutcome]:
        """Write exposures that the journal does not contain into it; return what the follower has answered.

        Tilts are not written: they are no single-particle micrographs.

        Raises
        ------
        RegistrarUnavailable
            No follower can be started. The entries stay in the journal.
        """
        journal = self._journal(place)
        journal.read_answers()
        outcomes: dict[int, RegistrationOutcome] = {}
        entries, verdicts = [], []
        for exposure in exposures:
            if exposure.record.acquisition.tilt_series is not None:
                outcomes[exposure.number] = _left_out(journal, exposure)
                continue
            if not _needs_entry(journal, exposure):
                continue
            try:
                entries.append(self._entry(place, exposure))
            except (FileNotFoundError, ValueError) as error:
                outcomes[exposure.number] = RegistrationOutcome(RegistrationState.FAILED, str(error))
                continue
            verdicts.append(_verdict(exposure.micrograph_name, exposure.record.revision, exposure.verdict))
        self._optics_of(place).write()  # before the journal names new groups
        journal.append_micrographs(entries, verdicts)
        written = [exposure for exposure in exposures if exposure.number not in outcomes]
        outcomes |= {exposure.number: _outcome(journal, exposure) for exposure in written}
        if any(outcomes[exposure.number].state is RegistrationState.PENDING for exposure in written):
            self._followers.require(place, journal)
        return outcomes

    def verdicts_changed(self, place: SessionPlace, verdicts: Sequence[ChangedVerdict]) -> None:
        """Write changed verdicts into the journal."""
        self._journal(place).append_verdicts(
            [_verdict(one.micrograph_name, one.revision, one.verdict) for one in verdicts]
        )

    def update_project(self, place: SessionPlace, *, ended: bool) -> bool:
        """Have a follower run while it has something to do; have it close its sets when the session has ended.

        Returns whether it has closed them.

        Raises
        ------
        RegistrarUnavailable
            No follower can be started.
        """
        journal = self._journal(place)
        if ended:
            journal.end()
        else:
            journal.reopen()
        journal.read_answers()
        if not journal.closed and not journal.rested:
            self._followers.require(place, journal)
        if journal.is_followed() or journal.rested or journal.closed:  # the follower is in the project
            self._workflows.require(place, journal, self.project(place))
        if journal.closed:
            self._workflows.forget(place)
        return journal.closed

    def stop(self) -> None:
        """Have the followers end if they shall, and wait for that; otherwise they go on without the receiver."""
        if self._ends_followers:
            self._followers.end_all()

    def _ask_for_workflow(self, request: dict[str, Any], log: Path) -> dict[str, Any]:
        return self._bridge.ask(find_installation(self._scipion), request, log=log, timeout_s=WORKFLOW_TIMEOUT_S)

    def _journal(self, place: SessionPlace) -> SessionJournal:
        journal = self._journals.get(place.name)
        if journal is None:
            journal = self._journals[place.name] = SessionJournal(place.folder / "scipion", place.name)
        return journal

    def _optics_of(self, place: SessionPlace) -> OpticsGroups:
        if place.name not in self._optics:
            self._optics[place.name] = self._shared_optics.of(place)
        return self._optics[place.name]

    def _entry(self, place: SessionPlace, exposure: PublishedExposure) -> dict[str, Any]:
        record = exposure.record
        micrograph = registered_micrograph(place, exposure, float16=self._float16)
        pictures = {key: exposure.files.get(role) for key, role in PICTURES.items()}
        committed = record.file(FileRole.MICROGRAPH)
        return {
            "name": micrograph.name,
            "revision": record.revision,
            "exposure_id": str(record.exposure_id),
            "movie": record.movie,
            "digest": committed.digest if committed else "",
            "file": os.path.relpath(micrograph, place.folder),
            **{key: os.path.relpath(path, place.folder) if path else None for key, path in pictures.items()},
            "pixel_size_angstrom": record.micrograph_pixel_size_angstrom,
            "optics_group": int(self._optics_of(place).number_of(micrograph.name, record)),
            "acquisition": record.acquisition.model_dump(mode="json"),
            "shifts": _relative_to_first_frame(record.shifts.model_dump()),
            "figures": record.figures,
        }


def _verdict(micrograph_name: str, revision: int, verdict: PresentVerdict) -> MicrographVerdict:
    at = verdict.at.isoformat() if verdict.at else ""
    return MicrographVerdict(reader_name(micrograph_name), revision, verdict.accepted, verdict.by.value, at)


def _relative_to_first_frame(shifts: dict[str, Any]) -> dict[str, Any]:
    return shifts | {axis: [value - shifts[axis][0] for value in shifts[axis]] for axis in ("x_px", "y_px")}


def _left_out(journal: SessionJournal, exposure: PublishedExposure) -> RegistrationOutcome:
    """Return that a tilt is not among the micrographs: the plugin makes no sets of tilt series."""
    name, newest = reader_name(exposure.micrograph_name), exposure.record.revision
    earlier = [revision for revision in range(1, newest) if journal.entry_number(name, revision) is not None]
    detail = f"{A_TILT} {exposure.record.acquisition.tilt_series}: it is not in the set of micrographs"
    if earlier:
        detail += f", where its revision {earlier[-1]} still is: leave that one out there"
    return RegistrationOutcome(RegistrationState.REGISTERED, detail)


def _needs_entry(journal: SessionJournal, exposure: PublishedExposure) -> bool:
    key = reader_name(exposure.micrograph_name), exposure.record.revision
    entry, answer = journal.entry_number(*key), journal.answer(*key)
    return entry is None or (answer is not None and bool(answer.error) and answer.seq >= entry)


def _outcome(journal: SessionJournal, exposure: PublishedExposure) -> RegistrationOutcome:
    key = reader_name(exposure.micrograph_name), exposure.record.revision
    entry, answer = journal.entry_number(*key), journal.answer(*key)
    if answer is not None and not answer.error:
        return RegistrationOutcome(RegistrationState.REGISTERED)
    if answer is not None and entry is not None and answer.seq >= entry:
        return RegistrationOutcome(RegistrationState.FAILED, answer.error)
    return RegistrationOutcome(RegistrationState.PENDING, answer.error if answer else "")
