"""Followers that end while their session is quiet, and start again with its next data."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.database.engine import Database
from api.registrars.runner import RegistrarRunner
from api.registrars.settings import RegistrarSettings
from tests.integration.scipion_followers import follower_pids
from tests.waiting import wait_until

pytestmark = [pytest.mark.scipion, pytest.mark.timeout(240)]

in_campaign = pytest.mark.skipif(
    os.environ.get("CRYOFERRY_CAMPAIGN") != "1", reason="part of `make campaign PART=scipion`"
)


def rests(publisher: Any) -> int:
    """Return how often the session's follower has ended with its sets open."""
    answers = (publisher.folder / "scipion" / "acknowledged.jsonl").read_text("utf-8").splitlines()
    return sum(json.loads(answer).get("type") == "rest" for answer in answers)


def wait_for(publisher: Any, count: int) -> None:
    wait_until(lambda: publisher.count("scipion", "registered") == count, f"{count} micrographs are registered")


def wait_for_rest(publisher: Any) -> None:
    wait_until(lambda: not follower_pids(publisher.data), "the follower has ended")


def run_of(publisher: Any, inspect: Callable[[Path], Any]) -> Any:
    (run,) = [one for one in inspect(Path(publisher.project("scipion")))["runs"] if "Follow" in one["class"]]
    return run


def test_a_quiet_session_has_no_follower_until_its_next_data(
    publisher: Any, registrar_process: Callable[..., Any], inspect: Callable[[Path], Any]
) -> None:
    publisher.publish("one", ctf=True)
    registrar_process(follower_idle_s=0.5)
    wait_for(publisher, 1)
    wait_for_rest(publisher)
    run = run_of(publisher, inspect)
    assert (run["status"], run["outputs"]["outputMicrographs"]["stream"]) == ("finished", "open")
    assert "continues it with the next data" in run["summary"][0]
    assert (follower_pids(publisher.data), rests(publisher)) == ([], 1)  # nobody started it again meanwhile

    publisher.publish("two", ctf=True, seed=2)
    wait_for(publisher, 2)
    publisher.set_session_state("ended")
    wait_until(lambda: publisher.closed("scipion"), "the session's project is closed")
    run = run_of(publisher, inspect)
    for output in ("outputMicrographs", "outputCTF"):
        assert (run["outputs"][output]["size"], run["outputs"][output]["stream"]) == (2, "closed")
    assert [item["name"] for item in run["outputs"]["outputMicrographs"]["items"]] == ["one.mrc", "two.mrc"]


def test_followers_end_with_the_receiver(publisher: Any, scipion: Path) -> None:
    settings = RegistrarSettings(scipion=str(scipion), relion=False, followers="end")
    database = Database(f"sqlite:///{publisher.data}/receiver.sqlite")
    runner = RegistrarRunner(settings, database, publisher.data)
    publisher.publish("one")
    runner.start()
    wait_for(publisher, 1)
    runner.stop()
    database.close()
    assert (follower_pids(publisher.data), rests(publisher)) == ([], 1)


@in_campaign
def test_a_protocol_downstream_goes_on_after_a_rest(
    publisher: Any, registrar_process: Callable[..., Any], run_in_scipion: Callable[..., str], inspect: Any
) -> None:
    """RELION's picker follows the set live: it waits while the follower rests, and takes what comes afterwards."""
    publisher.publish("one", ctf=True, shape=(256, 256))
    registrar_process(follower_idle_s=0.5)
    wait_for(publisher, 1)
    wait_for_rest(publisher)
    if "no picker" in run_in_scipion("scipion_user.py", publisher.project("scipion"), "pick"):
        pytest.skip("needs RELION and its Scipion plugin (scipion-em-relion)")

    def picked() -> Any:
        runs = inspect(Path(publisher.project("scipion")))["runs"]
        (picker,) = [run for run in runs if "Autopick" in run["class"]]
        return picker

    wait_until(lambda: picked()["outputs"], "the first micrograph is picked")
    assert picked()["status"] == "running"
    for number in range(2, 5):
        publisher.publish(f"later{number}", ctf=True, shape=(256, 256), seed=number)
        wait_for(publisher, number)
        wait_for_rest(publisher)
    assert picked()["status"] == "running"
    publisher.set_session_state("ended")
    wait_until(lambda: publisher.closed("scipion"), "the session's project is closed")
    wait_until(lambda: picked()["status"] == "finished", "the picker has ended", timeout_s=120)
    coordinates = picked()["outputs"]["outputCoordinates"]
    assert coordinates["stream"] == "closed"
    assert {item["_micName"] for item in coordinates["items"]} == {
        "one.mrc",
        *(f"later{number}.mrc" for number in range(2, 5)),
    }


@in_campaign
def test_a_session_waits_for_a_place_until_another_one_is_quiet(
    publisher: Any, registrar_process: Callable[..., Any], inspect: Any
) -> None:
    other = type(publisher)(publisher.data, "grid2")
    publisher.publish("one")
    registrar_process(max_followers=1)
    wait_for(publisher, 1)
    (first,) = follower_pids(publisher.data)
    other.publish("two")
    reason = "waits for a place: 1 followers run"
    wait_until(lambda: any(reason in detail for detail in publisher.details("scipion")), "the reason")
    wait_until(lambda: other.count("scipion", "registered") == 2, "the second session's micrograph", timeout_s=120)
    (second,) = follower_pids(publisher.data)
    assert second != first
    (run,) = inspect(publisher.data / "scipion-projects" / publisher.session)["runs"]
    assert (run["status"], run["outputs"]["outputMicrographs"]["stream"]) == ("finished", "open")
    other.database.close()
