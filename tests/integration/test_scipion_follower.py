"""CTFs and verdicts in a real Scipion's sets, by the plugin's own follower, from a journal that the registrar wrote."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import starfile
from numpy.typing import NDArray
from PIL import Image

from api.registrars import ChangedVerdict, PresentVerdict, RegistrarUnavailable, SessionPlace
from api.registrars.outbox import Outbox
from api.registrars.scipion import ScipionRegistrar
from api.registrars.scipion_journal import FORMAT, SessionJournal
from api.registrars.settings import RegistrarSettings
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings
from preprocess.simulation import SimulationSettings, simulate_movie
from transfer.wire.exposure_record import FileRole, ShiftsRecord
from transfer.wire.protocol import RegistrationState
from transfer.wire.verdict import VerdictBy

pytestmark = [pytest.mark.scipion, pytest.mark.timeout(120)]

ACCEPTED = PresentVerdict()
REJECTED = PresentVerdict(accepted=False)
REJECTED_BY_PERSON = PresentVerdict(accepted=False, by=VerdictBy.PERSON)
ACCEPTED_BY_PERSON = PresentVerdict(accepted=True, by=VerdictBy.PERSON)
MICROGRAPHS, CTFS = "outputMicrographs", "outputCTF"


class Session:
    """A session, its journal and a follower."""

    def __init__(self, publisher: Any, ask: Callable[..., Any]) -> None:
        publisher.registrars = ("scipion",)
        self.publisher = publisher
        self.outbox = Outbox(publisher.database, publisher.data, "scipion")
        self.place = SessionPlace(publisher.session, publisher.folder)
        settings = RegistrarSettings(scipion="/nowhere/scipion")
        self.registrar = ScipionRegistrar(settings, publisher.data / "projects")
        self.ask = ask
        self.project = str(publisher.data / "project")
        ask("make", project=self.project, journal=str(publisher.folder / "scipion" / "journal.jsonl"))

    def publish(self, label: str, verdict: PresentVerdict = ACCEPTED, **more: Any) -> None:
        """Publish an exposure, which the registrar writes into the journal."""
        self.publisher.publish(label, **more)
        (batch,) = self.outbox.batches(100, ())
        exposures = [dataclasses.replace(exposure, verdict=verdict) for exposure in batch.exposures]
        with contextlib.suppress(RegistrarUnavailable):  # no Scipion is there to be started
            self.registrar.register(batch.place, exposures)

    def judge(self, label: str, verdict: PresentVerdict) -> None:
        """Have a verdict change."""
        self.registrar.verdicts_changed(self.place, [ChangedVerdict(f"{label}.mrc", 1, verdict)])

    def person(self, label: str, *, enabled: bool, output: str = MICROGRAPHS) -> None:
        """Enable or disable an item in Scipion."""
        self.ask("person", project=self.project, output=output, item=f"{label}.mrc", enabled=enabled)

    def follow(self, kind: str = "usual") -> None:
        """Run a follower to the end of what the journal has."""
        with contextlib.suppress(RegistrarUnavailable):
            self.registrar.update_project(self.place, ended=True)
        self.ask("follow", project=self.project, kind=kind)

    def items(self, output: str) -> dict[str, dict[str, Any]]:
        """Return what Scipion sees of an output, by the label of the micrograph."""
        found = self.ask("read", project=self.project)[output]
        return {Path(name).stem: item for name, item in found.items()}

    def enabled(self, output: str = MICROGRAPHS) -> str:
        """Return the labels of the items that are enabled."""
        return "".join(sorted(label for label, item in self.items(output).items() if item["enabled"]))

    def answers(self) -> list[dict[str, Any]]:
        """Return the follower's answers to verdicts."""
        lines = (self.publisher.folder / "scipion" / "acknowledged.jsonl").read_text().splitlines()
        return [answer for answer in map(json.loads, lines) if answer.get("type") == "verdict"]

    def states(self) -> set[RegistrationState]:
        """Return what the registrar says of what is not settled."""
        (batch,) = self.outbox.batches(100, ())
        return {outcome.state for outcome in self.registrar.register(batch.place, batch.exposures).values()}


@pytest.fixture
def session(publisher: Any, ask: Callable[..., Any]) -> Session:
    return Session(publisher, ask)


def test_a_follower_that_is_asked_to_rest_ends_with_open_sets(session: Session) -> None:
    session.publish("a", ctf=True)
    journal = SessionJournal(session.place.folder / "scipion", session.place.name)
    journal.ask_to_rest()
    session.ask("follow", project=session.project)
    journal.read_answers()
    assert journal.rested
    assert session.ask("streams", project=session.project) == {MICROGRAPHS: True, CTFS: True}


def test_a_ctf_is_as_scipions_own(session: Session) -> None:
    """The angle comes out from 0 to 180, of the axis of the larger defocus; the picture is in the project."""
    angles = {"a": -72.5, "b": 20.0, "c": 90.0, "d": -89.5}
    for label, angle in angles.items():
        session.publish(label, ctf={"ctf_astigmatism_angle_degrees": angle})
    swapped = {"ctf_defocus_u_angstrom": 11000.0, "ctf_defocus_v_angstrom": 12000.0}
    session.publish("e", ctf={**swapped, "ctf_astigmatism_angle_degrees": 60.0, "ctf_reliable": 0.0})
    more = {"ctf_phase_shift_degrees": 84.0, "ctf_resolution_angstrom": 3.5, "ctf_fit_quality": 0.25}
    session.publish("f", ctf={**more, "ice_ring_density": 2.5, "ctf_defocus_error_angstrom": 12.0})
    session.follow()
    ctfs = session.items(CTFS)
    assert {label: item["_defocusAngle"] for label, item in ctfs.items()} == pytest.approx(
        {"a": 107.5, "b": 20, "c": 90, "d": 90.5, "e": 150, "f": 30}
    )
    for item in ctfs.values():
        assert (item["_defocusU"], item["_defocusV"]) == (12000, 11000)
        assert item["_defocusRatio"] == pytest.approx(12 / 11)
        assert item["_psdFile"] == item["_micObj._filename"].replace(".mrc", "_ctf.mrc")
        assert (Path(session.project) / item["_psdFile"]).is_file()
    assert (ctfs["a"]["_phaseShift"], ctfs["f"]["_phaseShift"]) == (0, 84)
    assert (ctfs["f"]["_resolution"], ctfs["f"]["_fitQuality"]) == (3.5, 0.25)
    assert (ctfs["f"]["_rlnIceRingDensity"], ctfs["f"]["_cryoferryDefocusError"]) == (2.5, 12)
    assert [ctfs[label]["_cryoferryReliable"] for label in "aef"] == [1, 0, 1]
    assert session.enabled(CTFS) == "abcdf"
    assert ctfs["e"]["comment"] == "cryoferry: the CTF is not reliable"
    assert session.states() == {RegistrationState.REGISTERED}


def test_pictures_are_where_scipions_viewers_look(session: Session) -> None:
    """In the attributes that its list of micrographs, its list of CTFs, CTF monitor and HTML report read."""
    committed = session.publisher.folder / "files"
    session.publish("a", ctf=True)
    session.publish("none", ctf=True, pictures=False)
    session.follow()
    found = session.items(MICROGRAPHS)
    for attribute, ending in (("thumbnail", ""), ("psdCorr", "_spectrum"), ("plotGlobal", "_motion")):
        shown = Path(session.project) / found["a"][f"{attribute}._filename"]
        assert shown.read_bytes() == (committed / f"a{ending}.png").read_bytes()
        assert not shown.is_symlink()
        with Image.open(Path(session.project) / found["none"][f"{attribute}._filename"]) as empty:
            assert empty.size == (1, 1)
    for label, item in session.items(CTFS).items():
        assert item["_micObj.plotGlobal._filename"] == found[label]["plotGlobal._filename"]
        with mrcfile.open(Path(session.project) / item["_psdFile"]) as fit:  # type: ignore[no-untyped-call]
            assert fit.data.shape == ((32, 32) if label == "a" else (64, 64))


def test_power_spectra_are_where_relions_plugin_keeps_them(session: Session) -> None:
    """In sets whose first micrograph has one; others have no such column, which CTF protocols would offer to use."""
    spectra = (FileRole.POWER_SPECTRUM,)
    session.publish("a", ctf=True, sums=spectra)
    session.publish("none", ctf=True)
    session.publish("other", ctf=True, pixel_size=2.12)
    session.publish("later", ctf=True, pixel_size=2.12, sums=spectra)
    session.follow()
    found = session.items(MICROGRAPHS)
    spectrum = found["a"]["_powerSpectra._filename"]
    assert spectrum == found["a"]["_filename"].replace(".mrc", "_PS.mrc")
    committed = session.publisher.folder / "files" / "a_power_spectrum.mrc"
    assert (Path(session.project) / spectrum).resolve() == committed.resolve()
    assert found["a"]["_powerSpectra._samplingRate"] == pytest.approx(1.4)
    assert found["none"]["_powerSpectra._filename"] is None
    assert session.items(CTFS)["a"]["_micObj._powerSpectra._filename"] == spectrum
    for output in (MICROGRAPHS, CTFS):
        others = session.items(f"{output}2")
        assert set(others) == {"other", "later"}
        assert not any("_powerSpectra" in column for item in others.values() for column in item)


def test_monitors_recognise_the_follower(session: Session, ask: Callable[..., Any]) -> None:
    """By its classes and by its name: so the summary monitor finds aligned micrographs and CTFs."""
    assert {"ProtAlignMovies", "ProtCTFMicrographs"} <= set(ask("classes", project=session.project))


def test_optics_groups_are_as_relions_plugin_keeps_them(session: Session, ask: Callable[..., Any]) -> None:
    """Each micrograph and the set have the whole table, also of groups that come later; numbers stay."""
    for label, optics in {"a": {}, "b": {"amplitude_contrast": 0.07}, "c": {}, "d": {"voltage_kv": 200}}.items():
        session.publish(label, ctf=True, acquisition=optics)
        session.follow()
    found = session.items(MICROGRAPHS)
    assert {label: item["_rlnOpticsGroup"] for label, item in found.items()} == {"a": 1, "b": 2, "c": 1, "d": 3}
    (table,) = {item["_acquisition.opticsGroupInfo"] for item in found.values()}
    star = Path(session.project) / "optics.star"
    star.write_text(table)
    rows = starfile.read(star)
    assert list(rows["rlnOpticsGroup"]) == [1, 2, 3]
    assert list(rows["rlnAmplitudeContrast"]) == [0.1, 0.07, 0.1]
    assert list(rows["rlnVoltage"]) == [300, 300, 200]
    assert set(rows["rlnImageSize"]) == {96}
    assert set(rows["rlnMicrographPixelSize"]) == set(rows["rlnMicrographOriginalPixelSize"]) == {1.06}
    relions = ask("relion_optics", project=session.project)
    if relions is None:
        pytest.skip("the table was read; RELION's plugin, which is to read it too, is not installed")
    assert relions["groups"] == rows.to_dict("records")
    assert {Path(name).stem: row["rlnOpticsGroup"] for name, row in relions["items"].items()} == {
        label: item["_rlnOpticsGroup"] for label, item in found.items()
    }


def test_groups_of_beam_shift_stand_beside_those_of_the_set(session: Session) -> None:
    """With the receiver's numbers: in an attribute, and in a STAR file for the plugin's "assign optics groups"."""
    for label, shift, pixel_size in (("a", 0.1, 1.06), ("b", 0.2, 1.06), ("c", 0.1, 1.06), ("d", 0.3, 2.12)):
        where = {"beam_shift_x": shift, "beam_shift_y": 0.0}
        session.publish(label, ctf=True, tilt=where, pixel_size=pixel_size)
        session.follow()
    session.publish("e", acquisition={"amplitude_contrast": 0.07})
    session.follow()
    found, other = session.items(MICROGRAPHS), session.items("outputMicrographs2")
    assert {label: item["_cryoferryOpticsGroup"] for label, item in {**found, **other}.items()} == {
        "a": 1,
        "b": 2,
        "c": 1,
        "d": 3,
        "e": 4,
    }
    assert {label: item["_rlnOpticsGroup"] for label, item in found.items()} == {"a": 1, "b": 1, "c": 1, "e": 2}
    (star,) = Path(session.project).glob("Runs/*/extra/optics_groups.star")
    tables = starfile.read(star)
    assert list(tables["optics"]["rlnOpticsGroup"]) == [1, 2, 4]
    assert list(tables["optics"]["rlnAmplitudeContrast"]) == [0.1, 0.1, 0.07]
    listed = tables["micrographs"]
    assert dict(zip(listed["rlnMicrographName"], listed["rlnOpticsGroup"], strict=True)) == {
        f"{label}.mrc": item["_cryoferryOpticsGroup"] for label, item in found.items()
    }


def links_in(project: str) -> dict[str, bool]:
    """Return the links in a project's folder by name, and whether each is relative and leads to a file."""
    links = [path for path in Path(project).rglob("*") if path.is_symlink()]
    return {path.name: path.is_file() and not path.readlink().is_absolute() for path in links}


@pytest.mark.parametrize("where", ["there", "elsewhere/and/deeper"])
def test_a_project_that_was_copied_alone_finds_its_files(
    session: Session, ask: Callable[..., Any], tmp_path: Path, where: str
) -> None:
    """Links lead to the files again when the follower is continued in the copy; so do those of an older version."""
    session.publish("a", ctf=True)
    session.publish("b", revision=1)
    session.publish("b", revision=2)
    session.follow()
    expected = {"a.mrc": True, "a_ctf.mrc": True, "b.mrc": True}
    assert links_in(session.project) == expected
    copy = tmp_path / where
    shutil.copytree(session.project, copy, symlinks=True)
    older, kept = (next(path for path in copy.rglob("*") if path.name == name) for name in ("a.mrc", "a_ctf.mrc"))
    older.unlink()
    older.symlink_to(session.publisher.folder / "registered" / "a.mrc")
    kept.unlink()
    kept.write_bytes(b"copied with its content")
    ask("copied", project=session.project, copy=str(copy))
    ask("follow", project=str(copy))
    assert links_in(str(copy)) == {"a.mrc": True, "b.mrc": True}
    assert kept.read_bytes() == b"copied with its content"
    assert links_in(session.project) == expected


def test_a_ctf_comes_late_changes_and_goes(session: Session) -> None:
    session.publish("a")
    session.publish("b", ctf=True)
    session.follow()
    assert "".join(session.items(CTFS)) == "b"
    session.publish("a", revision=2, ctf={"ctf_defocus_u_angstrom": 13000.0})
    session.publish("b", revision=2, ctf={"ctf_defocus_u_angstrom": 14000.0})
    session.follow()
    found = session.items(CTFS)
    assert {label: item["_defocusU"] for label, item in found.items()} == {"a": 13000, "b": 14000}
    assert "/revision-2/" in found["b"]["_psdFile"]
    assert {item["_micObj._cryoferryRevision"] for item in found.values()} == {2}
    session.publish("a", revision=3)
    session.follow()
    assert "".join(session.items(CTFS)) == "b"
    assert "".join(session.items(MICROGRAPHS)) == "ab"


def stored_shifts(item: dict[str, Any], of: str = "") -> NDArray[np.float64]:
    """Return the shifts that an item stores, of shape (frames, 2): (x, y)."""
    axes = [item[f"{of}_alignment.{axis}"] for axis in ("_xshifts", "_yshifts")]
    return np.array([[float(value) for value in axis.split(",")] for axis in axes]).T


def test_shifts_have_the_sign_of_relions_plugin(session: Session, ask: Callable[..., Any], tmp_path: Path) -> None:
    """A movie whose content moves by known steps: stored is what moves it back, as RELION's plugin stores it."""
    steps = tuple((-2.0 * number, 3.0 * number) for number in range(5))  # (y, x)
    movie = simulate_movie(SimulationSettings(height=256, width=256, frame_count=5, shifts_yx_px=steps, gain=False))
    movie.write(tmp_path / "moving.mrc")
    settings = AlignmentSettings(device="cpu", threads=1)
    exposure = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=0.83)
    aligned = process_movie(tmp_path / "moving.mrc", tmp_path / "out", settings=settings, acquisition=exposure)
    shifts = ShiftsRecord(first_frame=aligned.first_frame, y_px=aligned.shifts_y_px, x_px=aligned.shifts_x_px)
    session.publish("moving", shifts=shifts, ctf=True)
    session.follow()
    moves_back = -movie.truth.shifts_yx_px[:, ::-1]
    stored = stored_shifts(session.items(MICROGRAPHS)["moving"])
    np.testing.assert_allclose(stored, moves_back, atol=0.5)
    np.testing.assert_allclose(stored_shifts(session.items(CTFS)["moving"], "_micObj."), stored)
    relions = ask("relion_shifts", star=str(tmp_path / "out" / "moving.star"), frames=5)
    if relions is None:
        pytest.skip("compared with the truth; RELION's plugin, which is the other comparison, is not installed")
    np.testing.assert_allclose(stored, np.array(relions).T, atol=1e-4)


def test_shifts_of_an_older_plugin_are_turned(session: Session) -> None:
    session.publish("a", ctf=True)
    session.publish("b", ctf=True)
    session.follow("older")
    older = [stored_shifts(session.items(MICROGRAPHS)[label]) for label in "ab"]
    session.publish("c", ctf=True)
    for _ in range(2):  # once, not each time
        session.follow()
        for output, of in ((MICROGRAPHS, ""), (CTFS, "_micObj.")):
            found = {label: stored_shifts(item, of) for label, item in session.items(output).items()}
            for label in "abc":
                np.testing.assert_array_equal(found[label], -older[0])


def test_verdicts_enable_and_disable(session: Session) -> None:
    """What else an item says stays to the last column."""
    session.publish("a", ctf=True)
    session.publish("b", REJECTED, ctf=True)  # never shown as accepted
    session.publish("c", ctf={"ctf_reliable": 0.0})
    session.follow()
    before = session.items(MICROGRAPHS), session.items(CTFS)
    assert (session.enabled(), session.enabled(CTFS)) == ("ac", "a")
    assert before[0]["b"]["comment"] == before[1]["b"]["comment"] == "cryoferry: rejected by a threshold"
    session.judge("a", REJECTED_BY_PERSON)
    session.judge("b", ACCEPTED)
    session.judge("c", ACCEPTED_BY_PERSON)
    session.judge("unknown", REJECTED)
    session.follow()
    after = session.items(MICROGRAPHS), session.items(CTFS)
    assert (session.enabled(), session.enabled(CTFS)) == ("bc", "bc")
    assert after[0]["a"]["comment"] == "cryoferry: rejected by a person"
    assert after[0]["b"]["comment"] == after[1]["c"]["comment"] == ""
    for output in (*before, *after):
        for item in output.values():
            del item["enabled"], item["comment"]
    assert after == before
    session.publish("a", REJECTED_BY_PERSON, revision=2, ctf=True)
    session.publish("b", revision=2, ctf=True)
    session.follow()
    assert (session.enabled(), session.enabled(CTFS)) == ("bc", "bc")
    assert [answer["name"] for answer in session.answers()] == ["b.mrc", "a.mrc", "b.mrc", "c.mrc"]


def test_what_a_person_set_in_scipion_stays(session: Session) -> None:
    for label in "abc":
        session.publish(label, ctf=True)
    session.judge("b", REJECTED)
    session.follow()
    session.person("a", enabled=False)
    session.person("b", enabled=True)
    session.person("c", enabled=False, output=CTFS)
    for verdict in (REJECTED, ACCEPTED, REJECTED_BY_PERSON, ACCEPTED):
        for label in "abc":
            session.judge(label, verdict)
        session.follow()
        assert session.enabled() == ("b" if not verdict.accepted else "bc")
        assert session.enabled(CTFS) == ("" if not verdict.accepted else "ab")
    for label in "abc":  # also in newer revisions, even in a set of another pixel size
        session.publish(label, revision=2, ctf=True, pixel_size=2.12 if label == "a" else 1.06)
    session.follow()
    assert (session.enabled(), session.enabled(CTFS)) == ("bc", "b")
    assert (session.enabled("outputMicrographs2"), session.enabled("outputCTF2")) == ("", "a")
    held = [answer["name"] for answer in session.answers() if answer.get("held")]
    assert held == ["a.mrc", "c.mrc", "b.mrc", "a.mrc", "c.mrc"]

    session.person("b", enabled=False)  # back to what the follower did last: it is the follower's again
    session.judge("b", REJECTED)
    session.judge("b", ACCEPTED)
    session.follow()
    assert "b" in session.enabled()


def test_killed_between_set_and_answer(session: Session) -> None:
    for label in "ab":
        session.publish(label, ctf=True)
    session.follow()
    session.judge("a", REJECTED)
    session.judge("b", REJECTED)
    session.follow("dying")
    assert (session.enabled(), session.answers()) == ("", [])
    session.person("b", enabled=True)
    session.follow()
    assert (session.enabled(), session.enabled(CTFS)) == ("b", "")
    assert [answer["name"] for answer in session.answers()] == ["a.mrc", "b.mrc"]
    session.judge("a", ACCEPTED)
    session.follow()
    assert session.enabled() == "ab"


def test_a_set_that_an_older_plugin_began_goes_on(session: Session) -> None:
    session.publish("a", ctf=True)
    session.follow("older")
    session.publish("b", ctf={"ctf_reliable": 0.0, "ctf_resolution_angstrom": 3.5, "ice_ring_density": 2.5})
    session.judge("a", REJECTED)
    session.follow()
    found = session.items(CTFS)
    assert found["a"].keys() == found["b"].keys()
    assert not {"_cryoferryReliable", "_micObj.plotGlobal._filename"} & found["a"].keys()
    micrographs = session.items(MICROGRAPHS)
    assert micrographs["a"].keys() == micrographs["b"].keys()
    assert not {"plotGlobal._filename", "_rlnOpticsGroup"} & micrographs["a"].keys()
    assert {item["_acquisition.opticsGroupInfo"] for item in micrographs.values()} == {None}
    assert all(item["thumbnail._filename"].endswith("_thumbnail.png") for item in micrographs.values())
    session.publish("c", ctf=True, pixel_size=2.12)
    session.follow()
    assert "plotGlobal._filename" in session.items("outputMicrographs2")["c"]
    assert "_micObj.plotGlobal._filename" in session.items("outputCTF2")["c"]
    assert [(item["_defocusU"], item["_resolution"]) for item in found.values()] == [(12000, None), (12000, 3.5)]
    assert (session.enabled(), session.enabled(CTFS)) == ("b", "")


def test_a_journal_that_an_older_receiver_began(session: Session) -> None:
    """Its entry is of format 1 and stays so; what comes later stands behind it in the newest format."""
    record = session.publisher.publish("old", dtype="float32")
    old = {
        "seq": 2,
        "type": "micrograph",
        "name": "old.mrc",
        "revision": 1,
        "exposure_id": str(record.exposure_id),
        "movie": record.movie,
        "digest": record.files[0].digest,
        "file": "files/old.mrc",
        "thumbnail": "files/old.png",
        "pixel_size_angstrom": 1.06,
        "acquisition": record.acquisition.model_dump(mode="json"),
        "shifts": record.shifts.model_dump(),
        "motion": {"total_angstrom": 5.5, "early_angstrom": 5.0, "late_angstrom": 0.5},
        "ctf": {"defocus_u_angstrom": 9000, "defocus_v_angstrom": 8000, "astigmatism_angle_degrees": 10},
    }
    journal = session.publisher.folder / "scipion" / "journal.jsonl"
    journal.parent.mkdir(parents=True)
    lines = [{"seq": 1, "type": "session", "session": "grid1", "format": 1}, old]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    session.publish("new", dtype="float32", ctf=True)
    session.follow()
    assert session.states() == {RegistrationState.REGISTERED}
    assert [json.loads(line).get("format") for line in journal.read_text().splitlines()][:3] == [1, None, FORMAT]
    motion = {label: item["_rlnAccumMotionTotal"] for label, item in session.items(MICROGRAPHS).items()}
    assert motion == {"old": pytest.approx(5.5), "new": pytest.approx(2.7)}
    assert {label: item["_defocusU"] for label, item in session.items(CTFS).items()} == {"old": 9000, "new": 12000}
