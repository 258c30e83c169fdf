"""Which micrographs stand in RELION's lists of CTFs, and with which values."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import mrcfile
import pytest

from api.registrars import ChangedVerdict, PresentVerdict, PublishedExposure, SessionPlace
from api.registrars.outbox import Outbox
from api.registrars.relion import RelionRegistrar
from api.registrars.relion_ctf import ACCEPTED_STAR, ALL_STAR
from api.registrars.settings import RegistrarSettings
from api.registrars.star import read_star
from transfer.wire.protocol import RegistrationState
from transfer.wire.verdict import VerdictBy

ACCEPTED = PresentVerdict()
REJECTED = PresentVerdict(accepted=False)
ACCEPTED_BY_PERSON = PresentVerdict(accepted=True, by=VerdictBy.PERSON)
UNRELIABLE = {"ctf_reliable": 0.0}


class Session:
    """A session's project, and a registrar that keeps it."""

    def __init__(self, publisher: Any) -> None:
        publisher.registrars = ("relion",)
        self.publisher = publisher
        self.outbox = Outbox(publisher.database, publisher.data, "relion")
        self.place = SessionPlace(publisher.session, publisher.folder)
        self.folder: Path = publisher.folder / "relion"
        self.restart()

    def restart(self) -> None:
        """Go on as a new process does."""
        self.registrar = RelionRegistrar(RegistrarSettings())

    def publish(self, label: str, verdict: PresentVerdict = ACCEPTED, **more: Any) -> PublishedExposure:
        """Publish an exposure and register it."""
        self.publisher.publish(label, **more)
        (batch,) = self.outbox.batches(100, ())
        exposures = [dataclasses.replace(exposure, verdict=verdict) for exposure in batch.exposures]
        outcomes = self.registrar.register(batch.place, exposures)
        assert {outcome.state for outcome in outcomes.values()} == {RegistrationState.REGISTERED}
        self.outbox.settle(batch, outcomes)
        return exposures[-1]

    def judge(self, *verdicts: tuple[str, PresentVerdict]) -> None:
        """Have verdicts change."""
        changed = [ChangedVerdict(f"{label}.mrc", 1, verdict) for label, verdict in verdicts]
        self.registrar.verdicts_changed(self.place, changed)

    def rows(self, star: str) -> dict[str, dict[str, str]]:
        """Return the rows of a list by the label of the micrograph."""
        tables = read_star(self.folder / star)
        rows = tables["micrographs"].rows() if "micrographs" in tables else []
        return {Path(row["rlnMicrographName"]).stem: row for row in rows}

    @property
    def listed(self) -> tuple[str, str]:
        """Return the labels of those to go on with, and of all."""
        return "".join(self.rows(ACCEPTED_STAR)), "".join(self.rows(ALL_STAR))


@pytest.fixture
def session(publisher: Any) -> Session:
    return Session(publisher)


def held(path: Path) -> int:
    """Return a file's inode, which no other file can have while a link beside it holds it."""
    path.with_name(f"{path.name}.{path.stat().st_ino}").hardlink_to(path)
    return path.stat().st_ino


def test_a_row_is_as_relions_own(session: Session) -> None:
    session.publish("none")
    assert not (session.folder / ALL_STAR).exists()
    session.publish(
        "a",
        ctf={
            "ctf_astigmatism_angle_degrees": -72.5,
            "ctf_phase_shift_degrees": 84.0,
            "ctf_resolution_angstrom": 3.5,
            "ctf_fit_quality": 0.25,
            "ctf_reliable": 1.0,
            "ice_ring_density": 2.5,
        },
    )
    session.publish("b", ctf={"ctf_resolution_angstrom": 41.0}, pixel_size=0.83)
    for star in (ACCEPTED_STAR, ALL_STAR):
        tables = read_star(session.folder / star)
        assert tables["optics"].lines == read_star(session.folder / "corrected_micrographs.star")["optics"].lines
        assert session.rows(star)["a"] == {
            "rlnMicrographName": "micrographs/a.mrc",
            "rlnOpticsGroup": "1",
            "rlnCtfImage": "ctf/a.ctf:mrc",
            "rlnDefocusU": "12000.000000",
            "rlnDefocusV": "11000.000000",
            "rlnCtfAstigmatism": "1000.000000",
            "rlnDefocusAngle": "-72.500000",
            "rlnCtfFigureOfMerit": "0.250000",
            "rlnCtfMaxResolution": "3.500000",
            "rlnPhaseShift": "84.000000",
            "rlnCtfValidationScore": "1.000000",
            "rlnCtfIceRingDensity": "2.500000",
            "rlnMicrographMetadata": "motion/a.star",
            "rlnAccumMotionTotal": "2.700000",
            "rlnAccumMotionEarly": "2.000000",
            "rlnAccumMotionLate": "0.700000",
        }
        other = session.rows(star)["b"]
        assert (other["rlnOpticsGroup"], other["rlnCtfMaxResolution"]) == ("2", "25.000000")
        assert (other["rlnPhaseShift"], other["rlnCtfIceRingDensity"]) == ("0.000000", "0.000000")
    with mrcfile.open(session.folder / "ctf" / "a.ctf", permissive=False) as picture:
        assert picture.data.shape == (32, 32)


def test_rows_are_appended_to_both_lists(session: Session) -> None:
    session.publish("a", ctf=True)
    paths = [session.folder / star for star in (ACCEPTED_STAR, ALL_STAR)]
    inodes = [held(path) for path in paths]
    for label in "bc":
        session.publish(label, ctf=True)
    assert [path.stat().st_ino for path in paths] == inodes
    assert session.listed == ("abc", "abc")


@pytest.mark.parametrize("restart", [False, True])
def test_a_verdict_takes_out_and_puts_back(session: Session, *, restart: bool) -> None:
    for label, verdict in (("a", ACCEPTED), ("b", REJECTED), ("c", ACCEPTED)):
        session.publish(label, verdict, ctf=True)
    assert session.listed == ("ac", "abc")
    everything = (session.folder / ALL_STAR).read_text()
    for verdicts, left in (((("a", REJECTED), ("missing", REJECTED)), "c"), ((("b", ACCEPTED),), "cb")):
        if restart:
            session.restart()
        session.judge(*verdicts)
        assert session.listed == (left, "abc")
        assert (session.folder / ALL_STAR).read_text() == everything
    session.judge(("b", REJECTED), ("c", REJECTED))
    assert session.listed == ("", "abc")
    session.publish("d", ctf=True)
    assert session.listed == ("d", "abcd")


@pytest.mark.parametrize("restart", [False, True])
def test_what_is_not_reliable_is_marked_and_needs_a_person(session: Session, *, restart: bool) -> None:
    session.publish("a", ctf=UNRELIABLE)
    session.publish("b", ctf={"ctf_reliable": 1.0})
    assert session.listed == ("b", "ab")
    found = session.rows(ALL_STAR)["a"]
    assert (found["rlnCtfValidationScore"], found["rlnDefocusU"]) == ("0.000000", "12000.000000")
    for verdict, listed in ((ACCEPTED_BY_PERSON, "ba"), (ACCEPTED, "b")):
        if restart:
            session.restart()
        session.judge(("a", verdict))
        assert session.listed == (listed, "ab")


def test_a_newer_revision_replaces_the_row(session: Session) -> None:
    session.publish("a")
    session.publish("b", ctf=True)
    session.publish("a", ctf=True, revision=2)  # the estimate came later
    session.publish("b", REJECTED, ctf={"ctf_defocus_u_angstrom": 13000.0}, revision=2)
    assert session.listed == ("a", "ba")
    row = session.rows(ALL_STAR)["b"]
    assert (row["rlnDefocusU"], row["rlnCtfImage"]) == ("13000.000000", "ctf/revision-2/b.ctf:mrc")
    assert (session.folder / "ctf" / "revision-2" / "b.ctf").is_file()
    session.publish("b", revision=3)
    session.publish("a", ctf=True, revision=3, tilt={"tilt_series": "TS_01", "tilt_angle_degrees": 3.0})
    assert session.listed == ("", "")


@pytest.mark.parametrize("restart", [False, True])
def test_a_lost_list_comes_back(session: Session, *, restart: bool) -> None:
    session.publish("a", ctf=True)
    session.publish("b", ctf=UNRELIABLE)
    (session.folder / ACCEPTED_STAR).unlink()
    if restart:
        session.restart()
    session.publish("c", ctf=True)
    assert session.listed == ("ac", "abc")
