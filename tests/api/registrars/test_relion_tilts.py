"""Tilts stand in lists of their series, never among single-particle micrographs, whatever comes when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.registrars.outbox import Outbox
from api.registrars.relion import STAR, RelionRegistrar
from api.registrars.relion_tilts import SERIES_STAR
from api.registrars.settings import RegistrarSettings
from api.registrars.star import StarTable, read_star
from transfer.wire.exposure_record import FileRole
from transfer.wire.protocol import RegistrationState


@pytest.fixture
def outbox(publisher: Any) -> Outbox:
    publisher.registrars = ("relion",)
    return Outbox(publisher.database, publisher.data, "relion")


def tilt(angle: float, before: float, series: str = "TS_01", **more: float) -> dict[str, Any]:
    return {"tilt_series": series, "tilt_angle_degrees": angle, "pre_exposure_e_per_a2": before, **more}


def register(outbox: Outbox, registrar: RelionRegistrar | None = None) -> None:
    (batch,) = outbox.batches(100, ())
    outcomes = (registrar or RelionRegistrar(RegistrarSettings())).register(batch.place, batch.exposures)
    assert {outcome.state for outcome in outcomes.values()} == {RegistrationState.REGISTERED}
    outbox.settle(batch, outcomes)


def micrographs(folder: Path) -> list[str]:
    star = folder / "relion" / STAR
    tables = read_star(star) if star.exists() else {}
    return [row["rlnMicrographName"] for row in tables["micrographs"].rows()] if "micrographs" in tables else []


def series(folder: Path) -> dict[str, list[dict[str, str]]]:
    """Return the rows of the tilts of each series."""
    star = folder / "relion" / SERIES_STAR
    tables = read_star(star) if star.exists() else {}
    listed = tables["global"].rows() if "global" in tables else []
    found: dict[str, list[dict[str, str]]] = {}
    for row in listed:
        table: StarTable = read_star(folder / "relion" / row["rlnTomoTiltSeriesStarFile"])[row["rlnTomoName"]]
        last = len(table.columns) - 1
        found[row["rlnTomoName"]] = [
            dict(zip(table.columns, line.split(maxsplit=last), strict=True)) for line in table.lines
        ]
    return found


def angles(folder: Path) -> dict[str, list[float]]:
    return {name: [float(row["rlnTomoNominalStageTiltAngle"]) for row in rows] for name, rows in series(folder).items()}


@pytest.mark.parametrize("restart", [False, True])
def test_tilts_and_micrographs_are_apart(publisher: Any, outbox: Outbox, restart: bool) -> None:
    registrar = None if restart else RelionRegistrar(RegistrarSettings())
    publisher.publish("spa")
    publisher.publish("t2", movie="frames/t 2.tif", tilt=tilt(-3, 6.0))
    register(outbox, registrar)
    publisher.publish("t0", movie="frames/t0.tif", tilt=tilt(0, 0.0))
    publisher.publish("t1", movie="frames/t1.tif", tilt=tilt(3, 3.0))
    publisher.publish("u0", movie="frames/u0.tif", tilt=tilt(0, 0.0, "TS_02"))
    register(outbox, registrar)
    assert micrographs(publisher.folder) == ["micrographs/spa.mrc"]
    assert angles(publisher.folder) == {"TS_01": [0, 3, -3], "TS_02": [0]}
    rows = series(publisher.folder)["TS_01"]
    assert [row["rlnTomoTiltMovieIndex"] for row in rows] == ["1", "2", "3"]
    assert [row["rlnMicrographMovieName"] for row in rows] == [
        "movies/frames/t0.tif",
        "movies/frames/t1.tif",
        '"movies/frames/t 2.tif"',
    ]
    for row in rows:
        for name in ("rlnMicrographName", "rlnMicrographMetadata"):
            assert (publisher.folder / "relion" / row[name]).is_file()
    assert (publisher.folder / "relion" / SERIES_STAR).read_text().count("rlnTomoHand") == 1


@pytest.mark.parametrize("restart", [False, True])
def test_an_exposure_that_turns_out_to_be_a_tilt_moves(publisher: Any, outbox: Outbox, restart: bool) -> None:
    registrar = None if restart else RelionRegistrar(RegistrarSettings())
    for label in ("a", "b"):
        publisher.publish(label)
    register(outbox, registrar)
    publisher.publish("b", revision=2, tilt=tilt(0, 0.0))
    register(outbox, registrar)
    assert micrographs(publisher.folder) == ["micrographs/a.mrc"]
    assert [row["rlnMicrographName"] for row in series(publisher.folder)["Images-Disc1_TS_01"]] == [
        "micrographs/revision-2/b.mrc"
    ]
    publisher.publish("b", revision=3, tilt=tilt(0, 0.0, "TS_02"))
    register(outbox, registrar)
    assert angles(publisher.folder) == {"Images-Disc1_TS_02": [0]}
    publisher.publish("b", revision=4)
    register(outbox, registrar)
    assert series(publisher.folder) == {}
    assert micrographs(publisher.folder) == ["micrographs/a.mrc", "micrographs/revision-4/b.mrc"]


def test_even_and_odd_sums_of_tilts_are_listed(publisher: Any, outbox: Outbox) -> None:
    """RELION 5's tomography reads them there (`TomogramSet::loadTomogram`)."""
    sums = (FileRole.MICROGRAPH_EVEN, FileRole.MICROGRAPH_ODD)
    publisher.publish("t0", movie="frames/t0.tif", tilt=tilt(0, 2.5), sums=sums)
    register(outbox)
    (row,) = series(publisher.folder)["TS_01"]
    assert float(row["rlnMicrographPreExposure"]) == 2.5
    for name in ("rlnMicrographNameEven", "rlnMicrographNameOdd"):
        assert (publisher.folder / "relion" / row[name]).is_file()


def test_a_series_whose_tilts_all_have_a_ctf_has_its_columns(publisher: Any, outbox: Outbox) -> None:
    """RELION 5 reconstructs no tomogram without them (`TomogramSet::loadTomogram`)."""
    needed = {"rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnCtfFigureOfMerit", "rlnCtfMaxResolution"}
    publisher.publish("t0", movie="frames/t0.tif", tilt=tilt(0, 0.0), ctf=True)
    publisher.publish("t1", movie="frames/t1.tif", tilt=tilt(3, 3.0), ctf={"ctf_reliable": 0.0})
    register(outbox)
    rows = series(publisher.folder)["TS_01"]
    assert [(float(row["rlnDefocusU"]), float(row["rlnCtfValidationScore"])) for row in rows] == [
        (12000, 1),
        (12000, 0),
    ]
    for row in rows:
        assert needed <= row.keys()
        assert (publisher.folder / "relion" / row["rlnCtfImage"].removesuffix(":mrc")).is_file()
    assert not (publisher.folder / "relion" / "micrographs_ctf_all.star").exists()
    publisher.publish("t2", movie="frames/t2.tif", tilt=tilt(-3, 6.0))
    register(outbox)
    assert not any(needed & row.keys() for row in series(publisher.folder)["TS_01"])


def test_series_of_one_name_in_two_folders_are_two(publisher: Any, outbox: Outbox) -> None:
    for number, movie in enumerate(("a_b/m.tif", "a/b/m.tif", "a_b/n.tif", "a/b/n.tif")):
        publisher.publish(f"m{number}", movie=movie, tilt=tilt(number, number))
        register(outbox)
    found = angles(publisher.folder)
    assert sorted(found.values()) == [[0, 2], [1, 3]]
    assert "a_b_TS_01" in found


def test_series_whose_names_are_alike_in_letters_alone_are_two(publisher: Any, outbox: Outbox) -> None:
    for number, name in enumerate(("é 1", "è 1", "é 1", "è 1")):
        publisher.publish(f"m{number}", movie=f"m{number}.tif", tilt=tilt(number, number, name))
        register(outbox)
    assert sorted(angles(publisher.folder).values()) == [[0, 2], [1, 3]]


def test_series_of_any_name_are_read_again(publisher: Any, outbox: Outbox) -> None:
    """A row that begins with `_` or `data_` would be a label or a table, for RELION too."""
    of_session = [("", name) for name in ("#1", "_x", "data_1", "LOOP_1", "", ".", "-1")]
    odd_folders = [(folder, "TS_01") for folder in ("data_2026", "測", "deep/" * 60, "line\nend", "'one' \"two\"")]
    for number in range(2):
        for which, (folder, name) in enumerate(of_session + odd_folders):
            movie = f"{folder}/m{which}_{number}.tif".lstrip("/")
            publisher.publish(f"m{which}_{number}", movie=movie, tilt=tilt(number, number, name))
        register(outbox)
    assert list(angles(publisher.folder).values()) == [[0, 1]] * 12


def test_columns_that_some_tilt_lacks_are_left_out(publisher: Any, outbox: Outbox) -> None:
    known = {"tilt_axis_degrees": 85.3, "target_defocus_um": 4.0}
    publisher.publish("a", movie="a.tif", tilt=tilt(0, 0.0, **known))
    register(outbox)
    (row,) = series(publisher.folder)["TS_01"]
    assert (row["rlnTomoNominalTiltAxisAngle"], row["rlnTomoNominalDefocus"]) == ("85.300000", "-4.000000")
    publisher.publish("b", movie="b.tif", tilt=tilt(3, 2.0, tilt_axis_degrees=85.3))
    register(outbox)
    assert all("rlnTomoNominalDefocus" not in row for row in series(publisher.folder)["TS_01"])
    assert not (publisher.folder / "relion" / STAR).exists()
