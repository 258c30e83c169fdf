"""What is exported for cryoSPARC, read by cryosparc-tools."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from api.exports.cryosparc import SLOTS
from api.exports.exporter import LOCK, SessionExporter
from api.registrars.outbox import Outbox
from api.registrars.relion import RelionRegistrar
from api.registrars.settings import RegistrarSettings
from api.registrars.star import read_star
from transfer.disk.locks import file_lock
from transfer.wire.errors import ReceiverBusy
from transfer.wire.exposure_record import FileRole

dataset = pytest.importorskip("cryosparc.dataset", reason="cryosparc-tools is missing: make install")
tools = pytest.importorskip("cryosparc.tools")
yaml = pytest.importorskip("yaml")
WHEN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class ExportedSession:
    """A session that RELION's registrar registers and that is exported."""

    def __init__(self, publisher: Any) -> None:
        self.publisher = publisher
        self.settings = RegistrarSettings()
        self.folder: Path = publisher.folder / "cryosparc"

    def register(self) -> None:
        """Register what is published."""
        outbox = Outbox(self.publisher.database, self.publisher.data, "relion")
        registrar = RelionRegistrar(self.settings)
        for batch in outbox.batches(100, ()):
            outbox.settle(batch, registrar.register(batch.place, batch.exposures))

    def export(self) -> Any:
        """Make the exports."""
        return SessionExporter(self.publisher.database, self.publisher.data, self.settings).export("grid1", WHEN)

    def group(self, name: str) -> tuple[dict[str, Any], Any]:
        """Return the slots of a result group, and its items as cryosparc-tools reads them."""
        group = yaml.safe_load((self.folder / f"{name}.csg").read_text("utf-8"))
        assert (group["group"]["name"], group["group"]["type"]) == (name, "exposure")
        slots = group["results"]
        (table,) = {slot["metafile"] for slot in slots.values()}
        items = dataset.Dataset.load(self.folder / table.removeprefix(">"))
        assert {slot["num_items"] for slot in slots.values()} == {len(items)}
        return slots, items

    def labels(self, name: str) -> list[str]:
        """Return the stems of a group's micrographs."""
        return [Path(path).stem for path in self.group(name)[1]["micrograph_blob/path"]]

    def relion_groups(self, star: str = "corrected_micrographs.star") -> dict[str, int]:
        """Return the optics groups of RELION's list."""
        rows = read_star(self.publisher.folder / "relion" / star)["micrographs"].rows()
        return {Path(row["rlnMicrographName"]).stem: int(row["rlnOpticsGroup"]) for row in rows}


def format_of(voxels: str) -> str:
    """Return the format of a micrograph as `cryosparc.tools.get_exposure_format` documents it."""
    return f"MRC/{int(tools.mrc.VOXEL_TYPES[voxels])}"


@pytest.fixture
def session(publisher: Any) -> ExportedSession:
    return ExportedSession(publisher)


def test_every_field_has_the_value_of_the_record(session: ExportedSession) -> None:
    beam = {"beam_shift_x": 0.125, "beam_shift_y": -0.25}
    record = session.publisher.publish(
        "a b", seed=0, ctf={"ctf_resolution_angstrom": 3.5, "ctf_phase_shift_degrees": 84}
    )
    session.publisher.publish("c", ctf=True, acquisition=beam, pixel_size=0.83)
    session.register()
    told = session.export()
    assert [(file.path, file.exposure_count) for file in told.files] == [
        ("cryosparc/exposures.csg", 2),
        ("cryosparc/exposures_all.csg", 2),
        ("cryosparc/micrographs.csg", 2),
        ("metadata/oscem.json", 2),
        ("metadata/empiar.json", 2),
    ]
    slots, items = session.group("exposures")
    assert {name: slot["type"] for name, slot in slots.items()} == {
        "micrograph_blob": "exposure.micrograph_blob",
        "mscope_params": "exposure.mscope_params",
        "ctf": "exposure.ctf",
    }
    fields = {f"{slot}/{field[0]}" for slot in slots for field in SLOTS[slot][1]}
    assert set(items.fields()) == fields | {"uid"}
    first, second = items.rows()
    path = first["micrograph_blob/path"]
    with mrcfile.open(session.folder / path.removeprefix(">")) as mrc:
        assert tuple(first["micrograph_blob/shape"]) == mrc.data.shape == (64, 96)
        assert first["micrograph_blob/format"] == format_of("32 BIT FLOAT") == f"MRC/{mrc.header.mode}"
    registered = (session.folder / path.removeprefix(">")).resolve()
    assert first["micrograph_blob/import_sig"] == tools.get_import_signatures(str(registered))[0]
    assert first["uid"] == int.from_bytes(record.exposure_id.bytes[:8])
    values = {
        "micrograph_blob/psize_A": 1.06,
        "micrograph_blob/idx": 0,
        "micrograph_blob/is_background_subtracted": 0,
        "mscope_params/accel_kv": 300,
        "mscope_params/cs_mm": 2.7,
        "mscope_params/total_dose_e_per_A2": 3.75,
        "mscope_params/phase_plate": 1,
        "mscope_params/beam_shift_known": 0,
        "ctf/accel_kv": 300,
        "ctf/cs_mm": 2.7,
        "ctf/amp_contrast": 0.1,
        "ctf/df1_A": 12000,
        "ctf/df2_A": 11000,
        "ctf/df_angle_rad": math.pi / 6,
        "ctf/phase_shift_rad": math.radians(84),
        "ctf/ctf_fit_to_A": 3.5,
    }
    assert {name: float(first[name]) for name in values} == pytest.approx(values)
    assert tuple(second["mscope_params/beam_shift"]) == (0.125, -0.25)
    assert (second["mscope_params/beam_shift_known"], second["mscope_params/phase_plate"]) == (1, 0)


def test_the_groups_are_those_of_relions_lists(session: ExportedSession) -> None:
    shifts = {"a": 0.0, "b": 0.3, "c": 0.001, "d": 0.301}
    for label, shift in shifts.items():
        beam = {"beam_shift_x": shift, "beam_shift_y": 0.0}
        session.publisher.publish(label, ctf=True, acquisition=beam)
    session.register()
    session.export()
    _, items = session.group("exposures")
    groups = dict(zip(session.labels("exposures"), items["mscope_params/exp_group_id"], strict=True))
    assert groups == session.relion_groups() == {"a": 1, "b": 2, "c": 1, "d": 2}
    assert list(items["ctf/exp_group_id"]) == list(items["mscope_params/exp_group_id"])
    star = session.publisher.folder / "relion" / "corrected_micrographs.star"
    star.write_text(
        star.read_text().replace("micrographs/c.mrc motion/c.star 1 ", "micrographs/c.mrc motion/c.star 2 ")
    )
    session.export()
    assert session.relion_groups()["c"] == 2
    assert list(session.group("exposures")[1]["ctf/exp_group_id"]) == [1, 2, 2, 2]


def test_the_same_micrographs_are_exported_as_relion_lists(session: ExportedSession) -> None:
    for label in "abc":
        session.publisher.publish(label, ctf={"ctf_reliable": 0.0 if label == "b" else 1.0})
    session.publisher.publish("plain")
    session.publisher.publish("tilt", tilt={"tilt_series": "TS_01", "tilt_angle_degrees": 3.0})
    session.publisher.say("c", accepted=False)
    session.register()
    session.export()
    exported = {name: session.labels(name) for name in ("exposures", "exposures_all", "micrographs")}
    assert exported == {"exposures": ["a"], "exposures_all": ["a", "b", "c"], "micrographs": ["a", "b", "c", "plain"]}
    assert session.labels("exposures") == list(session.relion_groups("micrographs_ctf.star"))
    assert session.labels("exposures_all") == list(session.relion_groups("micrographs_ctf_all.star"))
    assert session.labels("micrographs") == list(session.relion_groups())
    assert "ctf" not in session.group("micrographs")[0]
    session.publisher.say("a", accepted=False)
    session.publisher.say("b", accepted=True)
    session.export()
    assert session.labels("exposures") == ["b"]
    session.publisher.say("b", accepted=None)
    told = session.export()
    assert "cryosparc/exposures.csg" not in [file.path for file in told.files]
    assert not (session.folder / "exposures.csg").exists()
    assert len(list(session.folder.glob("*.cs"))) == 2


def test_items_keep_their_ids_and_newer_revisions_come_in(session: ExportedSession) -> None:
    session.publisher.publish("a", ctf=True)
    session.register()
    session.export()
    before = session.group("exposures")[1]
    session.publisher.publish("a", ctf=True, revision=2)
    session.publisher.publish("b", ctf=True)
    session.register()
    session.export()
    after = session.group("exposures")[1]
    assert after["uid"][0] == before["uid"][0] != after["uid"][1]
    assert list(after["micrograph_blob/path"]) == [">micrographs/revision-2/a.mrc", ">micrographs/b.mrc"]
    assert all((session.folder / path[1:]).is_file() for path in after["micrograph_blob/path"])
    moved = session.publisher.data.parent / "elsewhere"
    session.publisher.move(moved)
    assert (moved / "sessions/grid1/cryosparc" / after["micrograph_blob/path"][0][1:]).is_file()


def test_what_is_not_registered_is_counted_and_left_out(session: ExportedSession) -> None:
    session.publisher.publish("a")
    assert (told := session.export()).unregistered_count == told.exposure_count == 1
    assert told.files == ()
    session.settings = RegistrarSettings(relion=False)
    assert (told := session.export()).unregistered_count == 0
    (path,) = session.group("micrographs")[1]["micrograph_blob/path"]
    with mrcfile.open(session.folder / path[1:]) as mrc:
        assert mrc.data.dtype == np.float32


def test_unweighted_sums_are_there_if_all_have_them(session: ExportedSession) -> None:
    session.settings = dataclasses.replace(session.settings, float16=True)
    session.publisher.publish("a", sums=(FileRole.MICROGRAPH_UNWEIGHTED,))
    session.register()
    session.export()
    slots, items = session.group("micrographs")
    assert slots["micrograph_blob_non_dw"]["type"] == "exposure.micrograph_blob"
    assert list(items["micrograph_blob_non_dw/path"]) == [">micrographs/unweighted/a.mrc"]
    assert set(items["micrograph_blob/format"]) == {format_of("16 BIT FLOAT")}
    session.publisher.publish("b")
    session.register()
    session.export()
    assert "micrograph_blob_non_dw" not in session.group("micrographs")[0]


def test_one_session_is_exported_at_a_time(session: ExportedSession) -> None:
    with file_lock(session.publisher.data / LOCK, wait=False), pytest.raises(ReceiverBusy):
        session.export()
    session.export()
