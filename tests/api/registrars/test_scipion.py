"""What the Scipion registrar does by itself, without a Scipion."""

from __future__ import annotations

import json
from typing import Any

from api.registrars.outbox import Outbox
from api.registrars.scipion import ScipionRegistrar
from api.registrars.settings import RegistrarSettings
from transfer.wire.protocol import RegistrationState


def test_tilts_are_not_among_the_micrographs(publisher: Any) -> None:
    publisher.registrars = ("scipion",)
    outbox = Outbox(publisher.database, publisher.data, "scipion")
    registrar = ScipionRegistrar(RegistrarSettings(scipion=publisher.data / "none"), publisher.data / "projects")
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
