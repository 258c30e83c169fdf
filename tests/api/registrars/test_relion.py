from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import pytest

from api.registrars import PublishedExposure, RegistrarUnavailable
from api.registrars.outbox import Outbox
from api.registrars.relion import STAR, RelionRegistrar
from api.registrars.relion_lists import NAME
from api.registrars.settings import RegistrarSettings
from api.registrars.star import read_star
from transfer.wire.exposure_record import FileRole
from transfer.wire.protocol import RegistrationState


@pytest.fixture
def outbox(publisher: Any) -> Outbox:
    publisher.registrars = ("relion",)
    return Outbox(publisher.database, publisher.data, "relion")


def register(outbox: Outbox, registrar: RelionRegistrar) -> tuple[PublishedExposure, ...]:
    (batch,) = outbox.batches(100, ())
    outcomes = registrar.register(batch.place, batch.exposures)
    assert {outcome.state for outcome in outcomes.values()} == {RegistrationState.REGISTERED}
    outbox.settle(batch, outcomes)
    return batch.exposures


def listed(path: Path) -> list[str]:
    return [row["rlnMicrographName"] for row in read_star(path)["micrographs"].rows()]


def test_new_rows_are_appended_and_changed_ones_replace_the_file(publisher: Any, outbox: Outbox) -> None:
    path = publisher.folder / "relion" / STAR
    registrar = RelionRegistrar(RegistrarSettings())
    publisher.publish("a")
    register(outbox, registrar)
    first = path.stat()
    publisher.publish("b")
    publisher.publish("c")
    register(outbox, registrar)
    assert path.stat().st_ino == first.st_ino
    assert path.stat().st_size > first.st_size
    assert listed(path) == ["micrographs/a.mrc", "micrographs/b.mrc", "micrographs/c.mrc"]

    inode = held(path)
    publisher.publish("b", revision=2)
    register(outbox, registrar)
    assert path.stat().st_ino != inode
    assert listed(path) == ["micrographs/a.mrc", "micrographs/revision-2/b.mrc", "micrographs/c.mrc"]

    inode = held(path)
    publisher.publish("d", pixel_size=0.83)  # another optics group stands before the micrographs
    register(outbox, registrar)
    assert path.stat().st_ino != inode
    assert [row["rlnOpticsGroup"] for row in read_star(path)["micrographs"].rows()] == ["1", "1", "1", "2"]


def held(path: Path) -> int:
    """Return a file's inode, which no other file can have while a link beside it holds it."""
    link = path.with_name(f"{path.name}.{path.stat().st_ino}")
    link.hardlink_to(path)
    return path.stat().st_ino


def test_another_process_goes_on_and_repairs_what_it_finds(publisher: Any, outbox: Outbox) -> None:
    path = publisher.folder / "relion" / STAR
    publisher.publish("a")
    publisher.publish("b")
    register(outbox, RelionRegistrar(RegistrarSettings()))
    whole = path.read_text()
    path.write_text(whole + "\n")  # as an older version wrote it: rows behind an empty line are not read

    registrar = RelionRegistrar(RegistrarSettings())
    publisher.publish("c")
    register(outbox, registrar)
    assert path.read_text().startswith(whole.rstrip())
    assert "\n\n" not in path.read_text().split("data_micrographs\n\n")[1]
    assert listed(path) == ["micrographs/a.mrc", "micrographs/b.mrc", "micrographs/c.mrc"]

    whole = path.read_text()
    path.write_text(whole + "micrographs/d.m")  # as a power cut leaves it
    registrar = RelionRegistrar(RegistrarSettings())
    publisher.publish("d")
    register(outbox, registrar)
    assert listed(path) == [f"micrographs/{label}.mrc" for label in "abcd"]

    path.unlink()
    publisher.publish("e")
    register(outbox, registrar)
    assert listed(path) == [f"micrographs/{label}.mrc" for label in "abcde"]


def test_an_exposure_that_is_given_again_is_listed_once(publisher: Any, outbox: Outbox) -> None:
    path = publisher.folder / "relion" / STAR
    registrar = RelionRegistrar(RegistrarSettings())
    publisher.publish("a")
    (batch,) = outbox.batches(100, ())
    registrar.register(batch.place, batch.exposures)
    before = path.read_bytes()
    registrar.register(batch.place, batch.exposures)
    RelionRegistrar(RegistrarSettings()).register(batch.place, batch.exposures)
    assert path.read_bytes() == before


def test_a_list_without_a_micrograph_gets_its_first_one(publisher: Any, outbox: Outbox) -> None:
    path = publisher.folder / "relion" / STAR
    registrar = RelionRegistrar(RegistrarSettings())
    publisher.publish("a")
    committed = publisher.folder / "files" / "a.mrc"
    content = committed.read_bytes()
    committed.write_bytes(content[:2000])
    (batch,) = outbox.batches(100, ())
    (outcome,) = registrar.register(batch.place, batch.exposures).values()
    assert outcome.state is RegistrationState.FAILED
    committed.write_bytes(content)
    register(outbox, registrar)
    assert listed(path) == ["micrographs/a.mrc"]


ALL_SUMS = (FileRole.MICROGRAPH_UNWEIGHTED, FileRole.MICROGRAPH_EVEN, FileRole.MICROGRAPH_ODD)
COLUMNS_OF_SUMS = {"rlnMicrographNameNoDW", "rlnMicrographNameEven", "rlnMicrographNameOdd"}


def columns(path: Path) -> set[str]:
    return set(read_star(path)["micrographs"].columns)


def test_other_sums_have_columns_and_files(publisher: Any, outbox: Outbox) -> None:
    path = publisher.folder / "relion" / STAR
    publisher.publish("a", sums=ALL_SUMS)
    publisher.publish("a", sums=ALL_SUMS, revision=2)
    publisher.publish("odd name (1)", sums=ALL_SUMS, tilt={"pre_exposure_e_per_a2": 1.25})
    register(outbox, RelionRegistrar(RegistrarSettings()))
    first, second = read_star(path)["micrographs"].rows()
    assert (first["rlnMicrographPreExposure"], second["rlnMicrographPreExposure"]) == ("0.500000", "1.250000")
    assert first["rlnMicrographNameNoDW"] == "unweighted/revision-2/a.mrc"
    for row in (first, second):
        for column in COLUMNS_OF_SUMS:
            with mrcfile.open(path.parent / row[column]) as mrc, mrcfile.open(path.parent / row[NAME]) as micrograph:
                assert mrc.header.mode == 2
                assert mrc.data.mean() == pytest.approx(2 * micrograph.data.mean(), rel=1e-3)


def test_power_spectra_are_listed_as_they_came(publisher: Any, outbox: Outbox) -> None:
    path = publisher.folder / "relion" / STAR
    publisher.publish("a b", sums=(FileRole.POWER_SPECTRUM,))
    register(outbox, RelionRegistrar(RegistrarSettings()))
    (row,) = read_star(path)["micrographs"].rows()
    committed = publisher.folder / "files" / "a b_power_spectrum.mrc"
    assert (path.parent / row["rlnCtfPowerSpectrum"]).resolve() == committed.resolve()
    assert row["rlnCtfPowerSpectrum"].startswith("power_spectra/")


@pytest.mark.parametrize("restart", [False, True])
def test_a_column_is_there_while_all_micrographs_have_it(publisher: Any, outbox: Outbox, restart: bool) -> None:
    path = publisher.folder / "relion" / STAR
    registrar = RelionRegistrar(RegistrarSettings())

    def take() -> None:
        register(outbox, RelionRegistrar(RegistrarSettings()) if restart else registrar)

    publisher.publish("a", sums=ALL_SUMS)
    take()
    assert columns(path) >= COLUMNS_OF_SUMS
    publisher.publish("b", sums=ALL_SUMS[:1])
    take()
    assert columns(path) & COLUMNS_OF_SUMS == {"rlnMicrographNameNoDW"}
    publisher.publish("c")
    take()
    assert not columns(path) & COLUMNS_OF_SUMS
    assert listed(path) == ["micrographs/a.mrc", "micrographs/b.mrc", "micrographs/c.mrc"]
    for label in "abc":
        publisher.publish(label, sums=ALL_SUMS, revision=2)
    take()
    assert columns(path) >= COLUMNS_OF_SUMS
    assert [row["rlnMicrographNameOdd"] for row in read_star(path)["micrographs"].rows()] == [
        f"odd/revision-2/{label}.mrc" for label in "abc"
    ]


def test_a_list_of_an_older_version_goes_on(publisher: Any, outbox: Outbox) -> None:
    path = publisher.folder / "relion" / STAR
    publisher.publish("a")
    register(outbox, RelionRegistrar(RegistrarSettings()))
    lines = path.read_text().splitlines()
    older = [line for line in lines if not line.startswith("_rlnMicrographPreExposure")]
    path.write_text("\n".join(older).replace(" 0.500000", "") + "\n")
    publisher.publish("b")
    register(outbox, RelionRegistrar(RegistrarSettings()))
    assert "rlnMicrographPreExposure" not in columns(path)
    assert listed(path) == ["micrographs/a.mrc", "micrographs/b.mrc"]


MTF = "data_\n\nloop_\n_rlnResolutionInversePixel #1\n_rlnMtfValue #2\n0.0 1.0\n0.5 0.4\n"


def mtf_of(path: Path) -> list[str | None]:
    return [group.get("rlnMtfFileName") for group in read_star(path)["optics"].rows()]


def test_the_mtf_is_in_all_optics_groups(publisher: Any, outbox: Outbox, tmp_path: Path) -> None:
    given, path = tmp_path / "k3.star", publisher.folder / "relion" / STAR
    given.write_text(MTF)
    publisher.publish("a", ctf=True)
    register(outbox, RelionRegistrar(RegistrarSettings()))
    assert mtf_of(path) == [None]
    publisher.publish("b")
    register(outbox, RelionRegistrar(RegistrarSettings(mtf=given)))  # the receiver was started anew, with an MTF
    assert mtf_of(path) == ["mtf.star"]
    assert (path.parent / "mtf.star").read_text() == MTF
    assert [row["rlnOpticsGroup"] for row in read_star(path)["micrographs"].rows()] == ["1", "1"]

    (path.parent / "mtf.star").write_text("own")
    registrar = RelionRegistrar(RegistrarSettings(mtf=given))
    publisher.publish("c", pixel_size=0.83)
    register(outbox, registrar)
    assert mtf_of(path) == ["mtf.star", "mtf.star"]
    assert (path.parent / "mtf.star").read_text() == "own"

    (path.parent / "mtf.star").unlink()
    publisher.publish("d")
    register(outbox, registrar)
    assert mtf_of(path) == [None, None]


def test_an_mtf_that_is_gone_makes_the_registrar_wait(publisher: Any, outbox: Outbox, tmp_path: Path) -> None:
    publisher.publish("a")
    (batch,) = outbox.batches(100, ())
    with pytest.raises(RegistrarUnavailable, match=r"k3\.star"):
        RelionRegistrar(RegistrarSettings(mtf=tmp_path / "k3.star")).register(batch.place, batch.exposures)


@pytest.mark.parametrize("restart", [False, True])
def test_beam_shifts_make_optics_groups(publisher: Any, outbox: Outbox, restart: bool) -> None:
    path = publisher.folder / "relion" / STAR
    registrar = RelionRegistrar(RegistrarSettings())

    def take(label: str, beam_shift_x: float | None, revision: int = 1) -> None:
        shift = {} if beam_shift_x is None else {"beam_shift_x": beam_shift_x, "beam_shift_y": 0.1}
        publisher.publish(label, tilt=shift, revision=revision, ctf=True)
        register(outbox, RelionRegistrar(RegistrarSettings()) if restart else registrar)

    for label, beam_shift in (("a", 0.0), ("b", 0.2), ("c", 0.001), ("d", None), ("e", 0.199)):
        take(label, beam_shift)
    take("b", 0.0, revision=2)
    for name in (STAR, "micrographs_ctf.star"):
        tables = read_star(path.with_name(name))
        groups = {Path(row[NAME]).stem: row["rlnOpticsGroup"] for row in tables["micrographs"].rows()}
        assert groups == {"a": "1", "b": "2", "c": "1", "d": "3", "e": "2"}
        assert [row["rlnOpticsGroup"] for row in tables["optics"].rows()] == ["1", "2", "3"]
