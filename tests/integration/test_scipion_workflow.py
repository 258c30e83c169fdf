"""Workflows behind a session's follower, in a real Scipion: which are refused, and that each is scheduled once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.waiting import wait_until

pytestmark = [pytest.mark.scipion, pytest.mark.timeout(240)]

FOLLOWER = {"object.className": "ProtCryoferryFollow", "object.id": "2", "journal": "/elsewhere/journal.jsonl"}
ASSIGN = {
    "object.className": "ProtCTFAssign",
    "object.id": "4",
    "object.label": "assign",
    "inputSet": "2.outputMicrographs",
    "inputCTF": "2.outputCTF",
}
SIZES = {
    "object.className": "ProtBoxSizeParameters",
    "object.id": "7",
    "object.label": "sizes",
    "object.comment": "for picking",
    "inputMicrographs": "2.outputMicrographs",
    "boxSize": "150",
}
FILTER = {"object.className": "ProtSetFilter", "object.id": "9", "object.label": "filter"}
RIGHT = [FOLLOWER, ASSIGN, SIZES, {**FILTER, "inputSet": "4.outputMicrographs"}]

WRONG: dict[str, list[dict[str, Any]]] = {
    "has 0 protocols of the class ProtCryoferryFollow": [ASSIGN],
    "has no protocol behind": [FOLLOWER],
    "two protocols in it have the id 4": [FOLLOWER, ASSIGN, ASSIGN],
    "no object.className": [FOLLOWER, {"object.id": "3"}],
    "has no protocol ProtOfNoPlugin": [FOLLOWER, {**ASSIGN, "object.className": "ProtOfNoPlugin"}],
    "assign (id 4) has no parameter colour": [FOLLOWER, {**ASSIGN, "colour": "red"}],
    "the follower has no output outputMovies": [FOLLOWER, {**ASSIGN, "inputSet": "2.outputMovies"}],
    "refers to the protocol 3, which is not in": [FOLLOWER, {**ASSIGN, "inputSet": "3.outputMicrographs"}],
    "'set' refers to no protocol": [FOLLOWER, {**ASSIGN, "inputSet": "set"}],
    "inputSet: it takes SetOfMicrographs, and not SetOfCTF": [FOLLOWER, {**ASSIGN, "inputSet": "2.outputCTF"}],
    "inputCTF: this input is empty": [FOLLOWER, {key: value for key, value in ASSIGN.items() if key != "inputCTF"}],
    "placeholder 'Box size' has no value": [FOLLOWER, {**SIZES, "boxSize": "~Box size|150|1~"}],
    "'large' refers to no protocol": [FOLLOWER, {**SIZES, "boxSize": "large"}],
    "'large' is no value for it": [FOLLOWER, {**SIZES, "runMode": "large"}],
    "wait for each other: assign (id 4), filter (id 9)": [
        FOLLOWER,
        {**ASSIGN, "inputSet": "9.outputMicrographs"},
        {**FILTER, "inputSet": "4.outputMicrographs"},
    ],
    "waits for the protocol 8, which is not in": [FOLLOWER, {**ASSIGN, "_prerequisites": "8"}],
    "assign (id 4) cannot be checked: TypeError": [FOLLOWER, {**ASSIGN, "_prerequisites": 8}],
    "label or comment of the protocol 4 is no text": [FOLLOWER, {**ASSIGN, "object.label": 8}],
}


def test_wrong_templates_are_refused(ask: Callable[..., Any]) -> None:
    assert ask("workflow", workflow=RIGHT) == ""
    said = {why: ask("workflow", workflow=template) for why, template in WRONG.items()}
    assert {why: text for why, text in said.items() if why not in text} == {}


def bridge_of(receiver: subprocess.Popen[bytes]) -> psutil.Process | None:
    """Return the process that asks Scipion for the registrars."""
    children = psutil.Process(receiver.pid).children()
    return next((child for child in children if "cryoferry_scipion.bridge" in child.cmdline()), None)


def test_a_workflow_is_scheduled_once(
    publisher: Any,
    registrar_process: Callable[[], subprocess.Popen[bytes]],
    inspect: Callable[[Path], Any],
) -> None:
    """A wrong one holds up no registration; the corrected one comes once, though bridge and receiver die."""
    template, note = publisher.folder / "scipion-workflow.json", publisher.folder / "scipion" / "workflow.json"
    note.parent.mkdir(parents=True)
    note.write_text('{"protocols": [7], "opened": 0}')  # of a project that its user gave up for a new one
    template.write_text(json.dumps(WRONG["has no protocol ProtOfNoPlugin"]))
    publisher.publish("one", ctf=True)
    receiver = registrar_process()
    trouble = publisher.data / "registrar-scipion.trouble"
    wait_until(lambda: trouble.exists() and "ProtOfNoPlugin" in trouble.read_text(), "the template is refused")
    wait_until(lambda: publisher.count("scipion", "registered") == 1, "the micrograph is registered")
    assert "ProtOfNoPlugin" in trouble.read_text()
    assert not note.exists()

    template.write_text(json.dumps(RIGHT))
    project = Path(publisher.project("scipion"))
    wait_until(lambda: any(project.glob("Runs/*_ProtCTFAssign")), "the first protocol is made")
    bridge = bridge_of(receiver)
    receiver.kill()
    if bridge is not None:
        bridge.kill()
        bridge.wait()
    receiver.wait()
    assert not note.exists()
    registrar_process()
    wait_until(note.exists, "the workflow is scheduled")
    wait_until(lambda: not trouble.exists(), "no trouble is left")
    follower, *behind = inspect(project)["runs"]
    assert follower["class"] == "ProtCryoferryFollow"
    assert {run["class"]: run["label"] for run in behind} == {
        "ProtCTFAssign": "assign",
        "ProtBoxSizeParameters": "sizes",
        "ProtSetFilter": "filter",
    }
    assert len(behind) == 3
    assert {run["status"] for run in behind} <= {"scheduled", "launched", "running", "finished"}
    for run in project.glob("Runs/*"):
        assert "Follow" in run.name or (run / "logs" / "schedule.log").exists(), run
