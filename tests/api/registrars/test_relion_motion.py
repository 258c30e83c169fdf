"""Motion files name each movie and its references by where a user lays them, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.registrars.outbox import Outbox
from api.registrars.relion import RelionRegistrar
from api.registrars.relion_motion import write_motion_star
from api.registrars.settings import RegistrarSettings
from transfer.wire.exposure_record import ExposureRecord, ProvenanceRecord

STAR = """
data_general

_rlnMicrographMovieName                         "a b.tiff"
_rlnMicrographGainName                                 k.mrc
_rlnMicrographDefectFile                              bad.txt
_rlnMicrographBinning                           1.000000

data_global_shift

loop_
_rlnMicrographFrameNumber #1
1
"""


def names(tmp_path: Path, record: ExposureRecord, star: str = STAR, **provenance: str | None) -> list[str]:
    """Return the values of the lines that changed, and check that no others did."""
    (tmp_path / "a.star").write_text(star)
    told = record.model_copy(update={"provenance": ProvenanceRecord(software="x", **provenance)})  # type: ignore[arg-type]
    write_motion_star(tmp_path / "a.star", tmp_path / "motion" / "b.star", told)
    before, after = star.splitlines(), (tmp_path / "motion" / "b.star").read_text().splitlines()
    assert len(before) == len(after)
    changed = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    assert all(one.split()[0] == other.split()[0] for one, other in changed)
    return [other.split(maxsplit=1)[1] for _, other in changed]


@pytest.fixture
def record(publisher: Any) -> ExposureRecord:
    published: ExposureRecord = publisher.publish("a", movie="GridSquare_1/Data/a b.tiff")
    return published


def test_movie_and_references_have_their_folders(record: ExposureRecord, tmp_path: Path) -> None:
    inside = names(tmp_path, record, gain_path="GridSquare_1/k.mrc", defects_path="bad pixels.txt")
    assert inside == ['"movies/GridSquare_1/Data/a b.tiff"', "movies/GridSquare_1/k.mrc", '"movies/bad pixels.txt"']
    outside = names(tmp_path, record, gain_path="/gains/K3/k.mrc", defects_path="D:\\gains\\bad.txt", source="titan")
    assert outside == [
        '"movies/titan/GridSquare_1/Data/a b.tiff"',
        "references/gains/K3/k.mrc",
        "references/D/gains/bad.txt",
    ]


def test_what_the_record_does_not_tell_stays(record: ExposureRecord, tmp_path: Path) -> None:
    assert names(tmp_path, record) == ['"movies/GridSquare_1/Data/a b.tiff"']


def test_a_gain_that_relion_would_use_otherwise_is_one_to_be_made(record: ExposureRecord, tmp_path: Path) -> None:
    turned = STAR.replace("_rlnMicrographGainName                                 k.mrc\n", "")
    (tmp_path / "a.star").write_text(turned)
    known = ProvenanceRecord(software="x", gain_path="k.dm4", gain_digest="0123456789abcdef" * 4)
    told = record.model_copy(update={"provenance": known})
    write_motion_star(tmp_path / "a.star", tmp_path / "b.star", told)
    lines = (tmp_path / "b.star").read_text().splitlines()
    added = lines.index("_rlnMicrographGainName references/gain_0123456789abcdef.mrc")
    assert lines[added - 1].endswith('"movies/GridSquare_1/Data/a b.tiff"')
    assert len(lines) == len(turned.splitlines()) + 1
    write_motion_star(tmp_path / "a.star", tmp_path / "b.star", record)  # without any gain reference
    assert "GainName" not in (tmp_path / "b.star").read_text()


def test_two_movies_of_one_name_do_not_meet(publisher: Any) -> None:
    publisher.registrars = ("relion",)
    for square in "12":
        publisher.publish(f"a_{square}", movie=f"GridSquare_{square}/a.tiff")
    outbox = Outbox(publisher.database, publisher.data, "relion")
    (batch,) = outbox.batches(100, ())
    RelionRegistrar(RegistrarSettings()).register(batch.place, batch.exposures)
    for square in "12":
        star = (publisher.folder / "relion" / "motion" / f"a_{square}.star").read_text()
        assert f"_rlnMicrographMovieName movies/GridSquare_{square}/a.tiff\n" in star
        assert (publisher.folder / "files" / f"a_{square}.star").read_text() != star  # committed bytes stay
