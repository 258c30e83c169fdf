"""An exposure has one optics group in all registries, whichever asks first and whenever the receiver starts anew."""

from __future__ import annotations

import contextlib
import json
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api.registrars import RegistrarUnavailable
from api.registrars.outbox import Outbox
from api.registrars.relion import RelionRegistrar
from api.registrars.relion_optics import GROUPS_STAR
from api.registrars.scipion import ScipionRegistrar
from api.registrars.settings import RegistrarSettings
from api.registrars.shared_optics import SharedOptics
from api.registrars.star import read_star

SHIFTS = [(0.1 * x, 0.1 * y) for x in range(3) for y in range(3)]


def register(publisher: Any, registrar: ScipionRegistrar | RelionRegistrar) -> None:
    """Give a registrar all that is pending; the Scipion one finds no Scipion, and its journal has the entries."""
    outbox = Outbox(publisher.database, publisher.data, registrar.name)
    for batch in outbox.batches(1000, ()):
        with contextlib.suppress(RegistrarUnavailable):
            outbox.settle(batch, registrar.register(batch.place, batch.exposures))


def groups(publisher: Any) -> list[dict[str, int]]:
    """Return the groups in RELION's list and in Scipion's journal, by the micrograph's file name."""
    listed = read_star(publisher.folder / "relion" / "corrected_micrographs.star")["micrographs"].rows()
    lines = (publisher.folder / "scipion" / "journal.jsonl").read_text().splitlines()
    entries = [entry for entry in map(json.loads, lines) if entry["type"] == "micrograph"]
    return [
        {row["rlnMicrographName"].rpartition("/")[2]: int(row["rlnOpticsGroup"]) for row in listed},
        {entry["name"]: entry["optics_group"] for entry in entries},
    ]


@pytest.mark.parametrize("seed", range(2))
def test_relion_and_scipion_have_the_same_groups(publisher: Any, seed: int) -> None:
    source = random.Random(seed)
    number = 0
    for stop in range(2):
        for x, y in source.sample(SHIFTS, len(SHIFTS)):
            where = {"stage_x_um": 9.0 * stop, "stage_y_um": 0.0, "foil_hole": f"{stop}-{x}-{y}"}
            scattered = {"beam_shift_x": x + source.gauss(0, 0.004), "beam_shift_y": y + source.gauss(0, 0.004)}
            publisher.publish(f"m{number}", shape=(8, 8), dtype="float32", pictures=False, tilt={**where, **scattered})
            number += 1
            optics = SharedOptics()  # the receiver is started anew
            settings = RegistrarSettings(scipion="/nowhere/scipion")
            registrars: list[ScipionRegistrar | RelionRegistrar] = [
                ScipionRegistrar(settings, publisher.data / "projects", optics),
                RelionRegistrar(settings, optics),
            ]
            for registrar in source.sample(registrars, source.randint(0, 2)):
                register(publisher, registrar)
    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(register, publisher, registrar) for registrar in registrars]:
            done.result()
    relion, scipion = groups(publisher)
    assert relion == scipion
    assert sorted(set(relion.values())) == list(range(1, 10))
    assert len(relion) == 18


def test_scipion_alone_keeps_the_groups(publisher: Any) -> None:
    publisher.registrars = ("scipion",)
    for number, shift in enumerate((0.1, 0.2, 0.1, 0.2)):
        publisher.publish(f"m{number}", shape=(8, 8), tilt={"beam_shift_x": shift, "beam_shift_y": 0.0})
        register(publisher, ScipionRegistrar(RegistrarSettings(scipion="/nowhere"), publisher.data / "projects"))
    assert (publisher.folder / "relion" / GROUPS_STAR).exists()
    lines = (publisher.folder / "scipion" / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line).get("optics_group") for line in lines[1:]] == [1, 2, 1, 2]
