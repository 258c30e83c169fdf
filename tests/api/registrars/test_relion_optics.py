"""Optics groups keep their numbers, whatever comes and whenever the receiver is started anew."""

from __future__ import annotations

import os
import random
import uuid
from pathlib import Path
from typing import Any

import pytest

from api.registrars.relion_optics import GROUPS_STAR, OPTICS, OpticsGroups
from api.registrars.star import StarTable
from preprocess.sidecars.epu import read_epu_xml
from preprocess.sidecars.recording import recording_by_name
from transfer.wire.exposure_record import AcquisitionRecord, ExposureRecord, FileReference, ShiftsRecord

REPO = Path(__file__).resolve().parents[3]
REAL_DATA = Path(os.environ.get("CRYOFERRY_TEST_DATA", REPO.parent / "shared" / "data"))
FILE = FileReference(role="micrograph", path="m.mrc", revision=1, size_bytes=1, digest="0" * 64)
SHIFTS = [(0.05 * x, 0.05 * y) for x in range(3) for y in range(3)]


def record(pixel_size: float = 1.0, **acquisition: Any) -> ExposureRecord:
    return ExposureRecord(
        exposure_id=uuid.UUID(int=1),
        movie="m.tif",
        label="m",
        micrograph_pixel_size_angstrom=pixel_size,
        micrograph_width_px=10,
        micrograph_height_px=10,
        acquisition=AcquisitionRecord(
            voltage_kv=300,
            cs_mm=2.7,
            amplitude_contrast=0.1,
            movie_pixel_size_angstrom=pixel_size,
            frame_count=3,
            **acquisition,
        ),
        shifts=ShiftsRecord(first_frame=1, y_px=(0.0,), x_px=(0.0,)),
        files=(FILE,),
    )


def at(x: float, y: float, stop: int = 0, hole: str = "", **other: Any) -> ExposureRecord:
    return record(
        beam_shift_x=x,
        beam_shift_y=y,
        stage_x_um=9.0 * stop,
        stage_y_um=0.0,
        foil_hole=hole or f"{stop}-{x}-{y}",
        **other,
    )


@pytest.mark.parametrize("seed", range(4))
def test_numbers_stay_over_restarts(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    groups = OpticsGroups(tmp_path)
    given: dict[tuple[float, float], str] = {}
    for stop in range(10):
        for shift in source.sample(SHIFTS, len(SHIFTS)):
            x, y = (value + source.gauss(0, 0.003) for value in shift)
            number = groups.number(at(x, y, stop, f"{stop}-{shift}"))
            assert given.setdefault(shift, number) == number
            if source.random() < 0.2:
                groups.write()
                groups = OpticsGroups(tmp_path)
    assert sorted(map(int, given.values())) == list(range(1, 10))
    columns, rows = groups.table()
    assert len(rows) == 9
    assert not [column for column in columns if not column.startswith("rln")]


def test_an_exposure_that_is_listed_keeps_its_group(tmp_path: Path) -> None:
    groups = OpticsGroups(tmp_path)
    first = groups.number(at(0.0, 0.0))
    second = groups.number(at(0.05, 0.0))
    assert first != second
    assert groups.number(at(0.05, 0.0, hole="again"), first) == first
    assert groups.number(record(), first) == first, "its metadata are lost in a later revision"
    assert groups.number(at(0.0, 0.0, pixel_size=0.8), first) not in (first, second)


def test_exposures_without_a_beam_shift_have_a_group_of_their_own(tmp_path: Path) -> None:
    groups = OpticsGroups(tmp_path)
    plain = groups.number(record())
    assert groups.number(record()) == plain
    shifted = groups.number(at(0.0, 0.0))
    assert shifted != plain
    assert groups.number(record()) == plain
    assert groups.number(at(0.0, 0.0, hole="b"), plain) == shifted, "its metadata came late"
    assert groups.number(record(pixel_size=0.8)) == "3"


def test_groups_of_an_older_version_stay(tmp_path: Path) -> None:
    old = OpticsGroups(tmp_path)
    old.number(record())
    columns, rows = old.table()
    groups = OpticsGroups(tmp_path)
    groups.take({OPTICS: StarTable(columns, rows)})
    assert groups.number(at(0.0, 0.0)) == "2"
    assert groups.number(record()) == "1"


def test_no_file_without_beam_shifts(tmp_path: Path) -> None:
    groups = OpticsGroups(tmp_path)
    groups.number(record())
    groups.write()
    assert not (tmp_path / GROUPS_STAR).exists()
    groups.number(at(0.0, 0.0))
    groups.write()
    assert (tmp_path / GROUPS_STAR).exists()


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="real metadata are not here (CRYOFERRY_TEST_DATA)")
def test_real_exposures_of_other_beam_shifts_are_of_other_groups(tmp_path: Path) -> None:
    groups, numbers = OpticsGroups(tmp_path), []
    for path in sorted(REAL_DATA.glob("FoilHole_*.xml")):
        sidecar = read_epu_xml(path)
        assert sidecar is not None
        known = sidecar.recording
        assert None not in (known.beam_shift_x, known.beam_shift_y, known.stage_x_um, known.stage_y_um)
        fields = ("beam_shift_x", "beam_shift_y", "stage_x_um", "stage_y_um")
        acquisition = {name: getattr(known, name) for name in fields}
        hole = recording_by_name(path).foil_hole
        assert hole
        numbers += [groups.number(record(foil_hole=hole, **acquisition)) for _ in range(2)]
    assert numbers == ["1", "1", "2", "2"]
