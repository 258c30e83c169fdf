"""An agent waits for what comes after its movie, and does a movie again with what comes later still."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from preprocess.simulation import write_mrc
from tests.agents.agent_process import StartAgent, lay
from tests.agents.finding.found_movies import XML
from tests.running import cryoferry
from transfer.client import ReceiverClient
from transfer.wire.exposure_record import ProvenanceRecord

STEM = "FoilHole_1_Data_2_3_20260101_101010"
MOVIE = f"{STEM}_fractions.tiff"


def provenance(url: str, token: str) -> list[tuple[int, ProvenanceRecord]]:
    with ReceiverClient(url, token) as client:
        records = [exposure.record for exposure in client.exposures("s").exposures]
    return [(record.revision, record.provenance) for record in records if record.provenance]


def xml(magnification: int) -> str:
    optics = f"<TemMagnification><NominalMagnification>{magnification}</NominalMagnification></TemMagnification>"
    return XML.format(1.1).replace(
        "</MicroscopeImage>", f"<microscopeData><optics>{optics}</optics></microscopeData></MicroscopeImage>"
    )


def test_a_movie_waits_for_its_gain_and_its_late_metadata_makes_one_revision(
    source: Path, simulated: Path, tmp_path: Path, receiver: Any, start_agent: StartAgent
) -> None:
    token = receiver.token("agent", "s")
    lay(simulated / "0.tiff", source / MOVIE)
    agent = start_agent(receiver.url, token, "--input-wait", "60")
    waits = f"waits for its gain reference {STEM}_gain.tiff"
    agent.until(lambda: any(line.get("reason") == waits for line in agent.lines), "it waits")
    assert f"{MOVIE} {waits}" in agent.log.read_text()
    status = [cryoferry("status", "--work", str(agent.work), *options) for options in ((), ("--all", "--json"))]
    assert waits in " ".join(status[0].stdout.split())
    assert json.loads(status[1].stdout.splitlines()[0])["reason"] == waits
    write_mrc(source / f"{STEM}_gain.mrc", [np.ones((256, 256), np.float32)], frame_count=1, mode=2)
    agent.until(lambda: agent.states()[MOVIE] == ("released", 1), "it is released")
    ((revision, first),) = provenance(receiver.url, token)
    assert revision == 1
    assert first.gain_digest is not None

    (source / f"{STEM}.xml").write_text(xml(130000))
    agent.until(lambda: agent.states()[MOVIE] == ("released", 2), "it is done again")
    ((revision, second),) = provenance(receiver.url, token)
    assert (revision, second.gain_digest) == (2, first.gain_digest)
    assert second.settings_digest != first.settings_digest
    for name in (f"{STEM}.xml", f"{STEM}_gain.mrc"):
        os.utime(source / name, ns=(10**18, 10**18))
    time.sleep(1.0)  # several scans: longer than the settle time
    (source / f"{MOVIE}.mdoc").write_text("PixelSpacing = 1.1\n")  # what --pixel-size says anyway
    agent.until(lambda: agent.states()[MOVIE] == ("released", 3), "it is done once more")
    ((revision, third),) = provenance(receiver.url, token)
    assert revision == 3
    assert third.settings_digest not in (first.settings_digest, second.settings_digest)  # the touched files made none
    assert agent.end() == 0
