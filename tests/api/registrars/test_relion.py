from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.registrars import PublishedExposure
from api.registrars.outbox import Outbox
from api.registrars.relion import STAR, RelionRegistrar
from api.registrars.settings import RegistrarSettings
from api.registrars.star import read_star
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
