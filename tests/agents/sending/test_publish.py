"""What the agent publishes of a movie that was really aligned."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from agents.journal.outputs import Output
from agents.journal.rows import ExposureRow
from agents.journal.states import State
from agents.sending.publish import exposure_record
from agents.workers.jobs import processed_from_json, processed_to_json
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.process_movie import process_movie
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie
from transfer.wire.exposure_record import MAX_RECORD_BYTES, ExposureRecord
from transfer.wire.figures import FIGURES

NAME = "FoilHole_17_Data_23_4_20250108_154915_fractions.tiff"
XML = """<MicroscopeImage xmlns="http://schemas.datacontract.org/2004/07/Fei.SharedObjects"><microscopeData>
<acquisition><camera><ExposureTime>2.5</ExposureTime></camera><acquisitionDateTime>2025-01-08T15:49:18.1158288+00:00</acquisitionDateTime></acquisition>
<optics><BeamShift><_x>0.25</_x><_y>-0.125</_y></BeamShift></optics>
<stage><Position><A>0.5235987755982988</A><X>-9.7e-05</X><Y>1.5e-04</Y></Position></stage>
</microscopeData></MicroscopeImage>"""


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> ProcessedMovie:
    """A movie with a gain reference and EPU's XML, aligned, and carried over from a worker as JSON."""
    folder = tmp_path_factory.mktemp("movie") / "GridSquare_5" / "Data"
    folder.mkdir(parents=True)
    simulated = simulate_movie(SimulationSettings(height=256, width=256, frame_count=4, seed=2))
    simulated.write(folder / NAME)
    simulated.write_gain(folder / "gain.mrc", movie_format="tiff")
    (folder / NAME.replace("_fractions.tiff", ".xml")).write_text(XML)
    result = process_movie(
        folder / NAME,
        folder / "out",
        settings=AlignmentSettings(device="cpu", threads=2, gain=GainSettings(path=folder / "gain.mrc")),
        acquisition=Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=0.83),
    )
    return processed_from_json(processed_to_json(result))


def published(processed: ProcessedMovie) -> ExposureRecord:
    exposure = ExposureRow(
        exposure_id=uuid4(),
        movie=NAME,
        remote_stem="a",
        label="a",
        state=State.FINISHED,
        reason="",
        hint="",
        revision=1,
        attempts=0,
        changes={},
        settings=None,
        identity=None,
        motion_angstrom=None,
        warnings=(),
        record=None,
        found_at=1_700_000_000.0,
        changed_at=1_700_000_030.0,
    )
    outputs = [
        Output(
            role=file.role,
            local_path=file.path.name,
            remote_path=file.path.name,
            file_revision=1,
            digest="0" * 64,
            size_bytes=1,
        )
        for file in processed.files
    ]
    return exposure_record(exposure, processed, outputs)


def test_every_figure_that_is_produced_is_registered(processed: ProcessedMovie) -> None:
    assert processed.figures
    assert set(processed.figures) <= set(FIGURES)
    of_ctf = {name for name in FIGURES if name.startswith(("ctf_", "ice_", "iciness"))}
    assert set(FIGURES) - of_ctf == set(processed.figures) - of_ctf
    assert {"ctf_defocus_u_angstrom", "ctf_reliable"} <= set(processed.figures)
    assert all(math.isfinite(value) for value in processed.figures.values())


def test_figures_are_passed_on_unchanged(processed: ProcessedMovie) -> None:
    record = published(processed)
    assert record.figures == processed.figures
    assert record.figures["motion_total_angstrom"] > 0
    assert record.figures["electrons_per_px_per_frame"] == pytest.approx(0.83 * 1.1**2)
    assert record.figures["dose_rate_e_per_px_per_s"] == pytest.approx(4 * 0.83 * 1.1**2 / 2.5)
    assert (record.figures["empty_area_fraction"], record.figures["saturated_area_fraction"]) == (0, 0)
    assert 0 < record.figures["micrograph_contrast"] < 1
    assert len(record.model_dump_json()) < MAX_RECORD_BYTES / 10
    assert ExposureRecord.model_validate_json(record.model_dump_json()) == record


def test_when_and_where_comes_from_the_microscope(processed: ProcessedMovie) -> None:
    known = published(processed).acquisition
    assert known.shutter_time == datetime(2025, 1, 8, 15, 49, 18, 115828, UTC)
    assert (known.stage_x_um, known.stage_y_um) == (pytest.approx(-97), pytest.approx(150))
    assert known.tilt_angle_degrees == pytest.approx(30)
    assert known.exposure_time_s == 2.5
    assert (known.beam_shift_x, known.beam_shift_y) == (0.25, -0.125)
    assert (known.grid_square, known.foil_hole) == ("5", "17")
    assert known.optics_group is None


def test_times_and_provenance(processed: ProcessedMovie) -> None:
    before = datetime.now(UTC)
    record = published(processed)
    assert record.times.found == datetime.fromtimestamp(1_700_000_000, UTC)
    assert record.times.finished == datetime.fromtimestamp(1_700_000_030, UTC)
    assert record.times.aligned is not None
    assert before <= record.times.aligned <= datetime.now(UTC)
    assert record.times.sent is None
    assert record.provenance is not None
    assert record.provenance.software.startswith("cryoferry ")


def test_a_figure_that_may_not_travel_becomes_a_warning(processed: ProcessedMovie) -> None:
    """One bad number does not hold up the micrograph that it belongs to, and is not silently gone either."""
    figures = {**processed.figures, "hot_pixel_count": math.nan, "invented_px": 1.0}
    record = published(replace(processed, figures=figures))
    assert set(record.figures) == set(processed.figures) - {"hot_pixel_count"}
    found = [warning for warning in record.warnings if warning.code == "figure-left-out"]
    assert ["hot_pixel_count" in found[0].text, "invented_px" in found[1].text] == [True, True]
