"""The shipped workflow behind a live session: RELION picks and extracts through Scipion's plugin."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.waiting import wait_until

SHIPPED = Path(__file__).parents[2] / "deploy" / "scipion-plugin" / "workflows" / "relion-log-picking.json"
IN_PIXELS = {"boxSize": 64, "minDiameter": 25, "maxDiameter": 45, "rescaledSize": 32}
STEP_TIMEOUT_S = 300

pytestmark = [
    pytest.mark.scipion,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.environ.get("CRYOFERRY_CAMPAIGN") != "1", reason="part of `make campaign PART=scipion`"),
    pytest.mark.skipif(shutil.which("relion_autopick") is None, reason="needs RELION (Debian: apt-get install relion)"),
]


def particles(seed: int) -> NDArray[np.float64]:
    """Return an image with five dark blobs."""
    y, x = np.indices((512, 512))
    image = np.random.default_rng(seed).normal(100, 3, (512, 512))
    for blob_y, blob_x in ((100, 100), (100, 350), (350, 120), (400, 400), (250, 250)):
        image -= 12 * np.exp(-((y - blob_y) ** 2 + (x - blob_x) ** 2) / (2 * 8.0**2))
    return image


@pytest.fixture
def session(publisher: Any, scipion: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A session with the shipped template, for particles that are as small as those of these images."""
    if not any(scipion.glob("venv/lib/python3*/site-packages/relion")):
        pytest.skip("needs the plugin scipion-em-relion: make scipion-plugins")
    program = Path(shutil.which("relion_autopick") or "").resolve()
    monkeypatch.setenv("RELION_HOME", str(program.parents[1]))
    template = json.loads(SHIPPED.read_text())
    for entry in template:
        entry.update({key: value for key, value in IN_PIXELS.items() if key in entry})
    publisher.folder.mkdir(parents=True)
    (publisher.folder / "scipion-workflow.json").write_text(json.dumps(template))
    return publisher


def outputs(inspect: Callable[[Path], Any], project: Path) -> dict[str, tuple[int, str, str]]:
    """Return the size and the state of each output, and its run's status."""
    return {
        name: (output["size"], output["stream"], run["status"])
        for run in inspect(project)["runs"]
        for name, output in run["outputs"].items()
    }


def test_relion_picks_and_extracts_while_data_arrive(
    session: Any, registrar_process: Callable[[], subprocess.Popen[bytes]], inspect: Callable[[Path], Any]
) -> None:
    """Picks and particles grow, and stand once each; beam shifts of later exposures disturb nothing."""

    def publish(labels: str) -> None:
        for label in labels:
            shift = {"beam_shift_x": 0.1 * ord(label), "beam_shift_y": 0.0}
            session.publish(label, image=particles(ord(label)), ctf=True, tilt=shift)

    def size(output: str) -> int:
        return outputs(inspect, Path(session.project("scipion"))).get(output, (0, "", ""))[0]

    def are_closed() -> bool:
        found = outputs(inspect, Path(session.project("scipion"))).values()
        return {(stream, status) for _, stream, status in found} == {("closed", "finished")}

    def wait(condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, what, timeout_s=STEP_TIMEOUT_S, pause_s=5)

    publish("ab")
    registrar_process()
    wait(lambda: session.count("scipion", "registered") == 2, "the micrographs are registered")
    wait(lambda: size("outputParticles") > 0, "the first particles")
    first = size("outputParticles")
    publish("cde")
    wait(lambda: size("outputParticles") > 2 * first, "later particles")
    session.set_session_state("ended")
    wait(are_closed, "everything ends with the session")
    picks = size("outputCoordinates")
    assert picks == size("outputParticles") >= 5 * 5

    session.set_session_state("open")
    publish("fg")
    session.reopen_project()
    wait(lambda: size("outputCoordinates") > picks, "picks of late data")
    session.set_session_state("ended")
    wait(are_closed, "everything ends again")
    found = outputs(inspect, Path(session.project("scipion")))
    assert found["outputMicrographs"][0] == 7
    assert found["outputCoordinates"][0] == found["outputParticles"][0] > picks
