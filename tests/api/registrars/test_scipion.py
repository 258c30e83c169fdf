"""What the Scipion registrar does by itself, without a Scipion."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from api.registrars import RegistrarUnavailable
from api.registrars.outbox import Outbox
from api.registrars.scipion import ScipionRegistrar
from api.registrars.settings import RegistrarSettings
from transfer.wire.protocol import RegistrationState


def test_tilts_are_not_among_the_micrographs(publisher: Any) -> None:
    publisher.registrars = ("scipion",)
    outbox = Outbox(publisher.database, publisher.data, "scipion")
    registrar = ScipionRegistrar(RegistrarSettings(scipion="/nowhere/scipion"), publisher.data / "projects")
    publisher.publish("t0", tilt={"tilt_series": "TS_01"})
    (batch,) = outbox.batches(10, ())
    outcomes = registrar.register(batch.place, batch.exposures)
    (outcome,) = outcomes.values()
    assert outcome.state is RegistrationState.REGISTERED
    assert outcome.detail == "a tilt of TS_01: it is not in the set of micrographs"
    outbox.settle(batch, outcomes)
    assert outbox.batches(10, ()) == []
    journal = publisher.folder / "scipion" / "journal.jsonl"
    assert [json.loads(line)["type"] for line in journal.read_text().splitlines()] == ["session"]


def test_an_entry_names_the_pictures_that_there_are(publisher: Any) -> None:
    publisher.registrars = ("scipion",)
    outbox = Outbox(publisher.database, publisher.data, "scipion")
    registrar = ScipionRegistrar(RegistrarSettings(scipion="/nowhere/scipion"), publisher.data / "projects")
    publisher.publish("a", ctf=True)
    publisher.publish("b")
    (batch,) = outbox.batches(10, ())
    with contextlib.suppress(RegistrarUnavailable):  # there is no Scipion; the entries stay
        registrar.register(batch.place, batch.exposures)
    journal = (publisher.folder / "scipion" / "journal.jsonl").read_text().splitlines()
    with_ctf, without = (json.loads(line) for line in journal[1:])
    assert (with_ctf["thumbnail"], with_ctf["ctf_spectrum"]) == ("files/a.png", "files/a_ctf.mrc")
    assert (publisher.folder / with_ctf["ctf_spectrum"]).is_file()
    assert (without["thumbnail"], without["ctf_spectrum"]) == ("files/b.png", None)
