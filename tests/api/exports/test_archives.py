"""What is written for archives, against their schemas where these are installed."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.exports.exporter import SessionExporter
from api.exports.schemas import SCHEMA_OF
from api.exports.session_metadata import give_metadata, given_metadata
from api.registrars import SessionPlace
from api.registrars.outbox import Outbox
from api.registrars.relion import RelionRegistrar
from api.registrars.settings import RegistrarSettings
from transfer.wire.session_metadata import checked_metadata

pytest.importorskip("jsonschema", reason="jsonschema is missing: make install")
WHEN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
OSCEM_SCHEMA = os.environ.get("CRYOFERRY_OSCEM_SCHEMA", "")
PERSON = {
    "family_name": "O'Chang",
    "given_name": "Yi-Wei",
    "email": "ywc@example.org",
    "orcid": "0000-0003-2391-473X",
    "organization": "Institute of Ice",
    "organization_type": "Academic",
    "country": "CH",
}
GIVEN = {
    "title": "Apoferritin, grid 3, 200 kV",
    "owner": PERSON,
    "instrument": {
        "microscope_model": "Glacios",
        "electron_source": "FEG",
        "illumination": "Flood Beam",
        "imaging": "Brightfield",
        "detector_name": "Falcon 4i",
        "detector_mode": "counting",
        "camera_binning": 1,
        "c2_aperture_um": 50,
        "energy_filter_width_ev": 10.0,
    },
    "grid": {"manufacturer": "Quantifoil", "mesh": 300, "pretreatment_time_s": 30},
    "sample": {
        "name": "Apoferritin",
        "source": "Mus musculus",
        "type": "COMPLEX",
        "assembly": "PARTICLE",
        "molecular_weight_kda": 440,
        "molecules": [{"name": "Ferritin", "sequence": "MTTAS", "natural_source": "Mus musculus"}],
        "concentration_mg_per_ml": 4,
        "ph": 7.4,
        "vitrification": True,
        "humidity_percent": 100,
    },
    "grants": [{"project_id": "SNF321", "funder": "SNF", "country": "CH"}],
    "movies": {"format": "EER", "voxel_type": "BIT", "width_px": 4096, "height_px": 4096},
    "citation": {"title": "The structure of apoferritin"},
    "deposition": {"release": "after-emdb", "scale": "molecule", "emdb": ["EMD-8000"]},
}
REQUIRED = {
    *("oscem.json: instrument.camera_binning", "oscem.json: instrument.detector_name"),
    *("oscem.json: instrument.microscope_model", "oscem.json: instrument.illumination"),
    *("oscem.json: instrument.imaging", "oscem.json: instrument.electron_source"),
    *("empiar.json: title", "empiar.json: authors", "empiar.json: citation.title", "empiar.json: owner.given_name"),
    *("empiar.json: owner.family_name", "empiar.json: owner.organization"),
    *("empiar.json: owner.email", "empiar.json: owner.country"),
}
FULL_ACQUISITION = {
    "shutter_time": "2026-05-04T09:30:00+02:00",
    "exposure_time_s": 4.0,
    "target_defocus_um": 1.5,
    "image_shift_x_um": 2.0,
    "image_shift_y_um": -1.0,
    "beam_shift_x": 0.1,
    "beam_shift_y": 0.1,
}


class Archived:
    """A session with what is written for archives."""

    def __init__(self, publisher: Any) -> None:
        self.publisher = publisher
        self.place = SessionPlace(publisher.session, publisher.folder)

    def export(self) -> Any:
        """Register what is published, and export it."""
        outbox, registrar = (
            Outbox(self.publisher.database, self.publisher.data, "relion"),
            RelionRegistrar(RegistrarSettings()),
        )
        for batch in outbox.batches(100, ()):
            outbox.settle(batch, registrar.register(batch.place, batch.exposures))
        return SessionExporter(self.publisher.database, self.publisher.data, RegistrarSettings()).export("grid1", WHEN)

    def read(self, name: str) -> Any:
        """Return a document."""
        return json.loads((self.publisher.folder / "metadata" / name).read_text("utf-8"))


@pytest.fixture
def archived(publisher: Any) -> Archived:
    return Archived(publisher)


def test_a_session_that_is_told_of_is_valid_for_both(archived: Archived) -> None:
    archived.publisher.publish("a", ctf={"ctf_resolution_angstrom": 3.0}, seed=0, acquisition=FULL_ACQUISITION)
    archived.publisher.publish("b", ctf={"ctf_resolution_angstrom": 5.0}, seed=3)
    archived.publisher.publish("t", tilt={"tilt_series": "TS_01"})
    give_metadata(archived.place, checked_metadata(GIVEN))
    if OSCEM_SCHEMA:
        folder = archived.publisher.data / "schemas"
        folder.mkdir()
        (folder / SCHEMA_OF["oscem.json"]).write_bytes(Path(OSCEM_SCHEMA).read_bytes())
    told = archived.export()
    assert (told.missing, told.differences) == ((), ())
    assert told.unchecked == (() if OSCEM_SCHEMA else ("oscem.json",))
    assert [file.path for file in told.files if file.path.startswith("metadata/")] == [
        "metadata/oscem.json",
        "metadata/empiar.json",
    ]
    acquisition = archived.read("oscem.json")["acquisition"]
    assert acquisition["date_time"] == "2026-05-04T07:30:00Z"
    assert acquisition["images_generated"] == 2
    assert acquisition["dose_per_movie"] == {"value": 3.75, "unit": "1/Å^2"}
    assert acquisition["nominal_defocus"]["minimal"] == {"value": 1500.0, "unit": "nm"}
    assert acquisition["nominal_magnification"] == 105000
    assert acquisition["imageshift"]["y_min"] == {"value": -1.0, "unit": "µm"}
    assert acquisition["beamtiltgroups"] == 2
    processing = archived.read("oscem.json")["processing"]
    assert processing["micrographs"] == {"number_micrographs": 2}
    assert processing["ctfs"]["resolution"]["output_avg_resolution"] == {"value": 4.0, "unit": "Å"}
    deposition = archived.read("empiar.json")
    assert deposition["authors"] == [{"name": "('O\u2019Chang', 'YW')", "order_id": 0, "author_orcid": PERSON["orcid"]}]
    micrographs, movies = deposition["imagesets"]
    assert (micrographs["num_images_or_tilt_series"], micrographs["image_width"], micrographs["pixel_width"]) == (
        2,
        96,
        1.06,
    )
    assert (micrographs["voxel_type"], movies["voxel_type"], movies["frames_per_image"]) == (
        "('T7', '')",
        "('T8', '')",
        3,
    )
    assert (deposition["release_date"], deposition["scale"]) == ("EP", "1")
    assert not (archived.publisher.folder / "metadata" / "missing.txt").exists()


@pytest.mark.skipif(not OSCEM_SCHEMA, reason="set CRYOFERRY_OSCEM_SCHEMA to OSC-EM's oscem_schemas_spa.schema.json")
def test_oscem_is_checked_against_its_schema() -> None:
    """The test above did it."""


def test_what_archives_require_and_nobody_gave_is_listed(archived: Archived) -> None:
    archived.publisher.publish("a")
    told = archived.export()
    assert set(told.missing) == REQUIRED
    listed = (archived.publisher.folder / "metadata" / "missing.txt").read_text("utf-8")
    assert listed.startswith("Archives require these fields")
    assert "cryoferry session export NAME" in listed  # what is given after the end is written by that alone
    assert set(listed.splitlines()[4:]) == REQUIRED
    assert archived.read("oscem.json")["acquisition"]["pixel_size"] == {"value": 1.06, "unit": "Å"}


def test_what_lacks_is_named_where_it_is_to_be_written(archived: Archived) -> None:
    archived.publisher.publish("a")
    owner = {name: value for name, value in PERSON.items() if name != "organization_type"}
    give_metadata(archived.place, checked_metadata({**GIVEN, "owner": owner}))
    assert archived.export().missing == ("oscem.json: owner.organization_type",)
    give_metadata(archived.place, checked_metadata({**GIVEN, "authors": [owner]}))
    assert archived.export().missing == ("oscem.json: authors.1.organization_type",)


def test_differences_from_a_schema_are_told(archived: Archived) -> None:
    archived.publisher.publish("a")
    give_metadata(archived.place, checked_metadata({**GIVEN, "owner": {**PERSON, "country": "XX"}}))
    (first, *_) = archived.export().differences
    assert first.startswith("empiar.json: $.corresponding_author.country: 'XX' is not one of")


def test_a_schema_that_requires_more_is_the_one_in_the_data_folder(archived: Archived) -> None:
    (folder := archived.publisher.data / "schemas").mkdir()
    (folder / SCHEMA_OF["oscem.json"]).write_text('{"required": ["more"]}')
    (folder / SCHEMA_OF["empiar.json"]).write_text("no JSON")
    archived.publisher.publish("a")
    give_metadata(archived.place, checked_metadata(GIVEN))
    assert archived.export().differences == ("oscem.json: $: 'more' is a required property",)


def test_a_session_without_micrographs_has_no_documents(archived: Archived) -> None:
    archived.publisher.publish("t", tilt={"tilt_series": "TS_01"})
    assert archived.export().files == ()
    assert not (archived.publisher.folder / "metadata").exists()


def test_metadata_that_were_spoiled_on_the_disk_are_left_out(
    archived: Archived, caplog: pytest.LogCaptureFixture
) -> None:
    give_metadata(archived.place, checked_metadata(GIVEN))
    path = archived.publisher.folder / "metadata" / "given.json"
    assert given_metadata(archived.place) == checked_metadata(GIVEN)
    path.write_text('{"title": 3}')
    assert given_metadata(archived.place) == checked_metadata({})
    assert "is no metadata of a session" in caplog.text
