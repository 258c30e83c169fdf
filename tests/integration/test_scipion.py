"""Real projects in a real Scipion, through the real outbox: what a fresh process of Scipion sees afterwards."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.scipion_followers import follower_pids, kill_followers
from tests.waiting import wait_until

IN_CAMPAIGN, CAMPAIGN = os.environ.get("CRYOFERRY_CAMPAIGN") == "1", "part of `make campaign PART=scipion`"
pytestmark = [pytest.mark.scipion, pytest.mark.timeout(240)]


def project_of(publisher: Any) -> Path:
    return Path(publisher.project("scipion"))


def registered(publisher: Any) -> int:
    return publisher.count("scipion", "registered")


def end(publisher: Any) -> None:
    publisher.set_session_state("ended")
    wait_until(lambda: publisher.closed("scipion"), "the session's project is closed")


def test_every_micrograph_exactly_once_whatever_is_killed(
    publisher: Any, registrar_process: Callable[[], subprocess.Popen[bytes]], inspect: Callable[[Path], Any]
) -> None:
    chance = random.Random(20260102)
    for number in range(3):
        publisher.publish(f"first_{number}", seed=number)
    receiver = registrar_process()
    wait_until(lambda: registered(publisher) == 3, "the first micrographs are registered")

    for number, victims in enumerate(("follower", "receiver", "both")):
        for label in "abc":
            publisher.publish(f"round{number}_{label}", seed=number)
        time.sleep(chance.uniform(0.2, 1.5))  # somewhere between outbox, journal, set and answer
        if victims != "receiver":
            kill_followers(publisher.data)
        if victims != "follower":
            receiver.kill()
            receiver.wait()
            receiver = registrar_process()
    wait_until(lambda: registered(publisher) == 12, "all are registered")
    end(publisher)

    (run,) = inspect(project_of(publisher))["runs"]
    micrographs = run["outputs"]["outputMicrographs"]
    names = [item["name"] for item in micrographs["items"]]
    assert len(names) == 12
    assert len(set(names)) == 12
    assert micrographs["stream"] == "closed"
    assert run["status"] == "finished"


@pytest.fixture
def live(publisher: Any, registrar_process: Callable[[], subprocess.Popen[bytes]]) -> Any:
    """A session with two micrographs registered."""
    publisher.publish("one", seed=6)
    publisher.publish("two words", seed=1, dtype="float32", ctf=True)
    registrar_process()
    wait_until(lambda: registered(publisher) == 2, "two micrographs are registered")
    return publisher


def test_what_scipion_sees(live: Any, inspect: Callable[[Path], Any]) -> None:
    live.say("two words", accepted=False)
    answers = live.folder / "scipion" / "acknowledged.jsonl"
    wait_until(lambda: '"type": "verdict"' in answers.read_text(), "the verdict is answered")
    (run,) = inspect(project_of(live))["runs"]
    assert run["label"] == "cryoferry grid1 (aligned, CTF)"
    assert run["status"] == "running"
    assert run["summary"] == ["2 micrographs of session grid1"]
    micrographs = run["outputs"]["outputMicrographs"]
    assert micrographs["stream"] == "open"
    assert (micrographs["size"], micrographs["size_in_project"]) == (2, 2)
    assert micrographs["pixel_size"] == pytest.approx(1.06)
    assert micrographs["dim"] == [96, 64, 1]
    assert micrographs["has_acquisition"]
    one, two = micrographs["items"]
    assert (one["enabled"], two["enabled"]) == (True, False)
    assert one["name"] == "one.mrc"
    assert " " not in two["name"]
    for item in (one, two):
        assert item["exists"]
        assert item["dim"] == [96, 64, 1]
        assert item["thumbnail_is_file"]
        assert item["_samplingRate"] == pytest.approx(1.06)
        assert item["_acquisition._voltage"] == 300
        assert item["_acquisition._sphericalAberration"] == pytest.approx(2.7)
        assert item["_acquisition._amplitudeContrast"] == pytest.approx(0.1)
        assert item["_acquisition._doseInitial"] == pytest.approx(0.5)
        assert item["shifts"] == [[0.0, -1.5, -2.5], [0.0, 0.5, 1.0]]
        assert item["range"] == [1, 3]
        assert item["_rlnAccumMotionTotal"] == pytest.approx(2.7)
        assert item["_cryoferryRevision"] == 1
    assert one["_acquisition._dosePerFrame"] == pytest.approx(1.25)
    assert one["_acquisition._magnification"] == 105000
    assert two["_acquisition._dosePerFrame"] is None
    (ctf,) = run["outputs"]["outputCTF"]["items"]
    assert ctf["_defocusU"] == 12000
    assert not ctf["enabled"]
    assert ctf["_micObj._micName"] == two["name"]


def test_late_data_revisions_and_other_pixel_sizes(
    live: Any, run_in_scipion: Callable[..., str], inspect: Callable[[Path], Any]
) -> None:
    end(live)
    run_in_scipion("scipion_user.py", str(project_of(live)), "downstream")
    live.publish("late", seed=2)
    live.publish("one", revision=2, seed=3, shape=(32, 48), pixel_size=2.12)
    live.publish("two words", revision=2, seed=4)
    live.reopen_project()
    wait_until(lambda: registered(live) == 5, "late micrographs are registered")
    wait_until(lambda: live.closed("scipion"), "the project is closed again")

    run, downstream = inspect(project_of(live))["runs"]
    assert (run["status"], downstream["status"]) == ("finished", "finished")
    assert downstream["outputs"]["outputMicrographs"]["size"] == 1  # the one with a CTF: left as it was made
    first, second = run["outputs"]["outputMicrographs"], run["outputs"]["outputMicrographs2"]
    assert {first["stream"], second["stream"], run["outputs"]["outputCTF"]["stream"]} == {"closed"}
    assert {item["name"].split("-")[0]: item["_cryoferryRevision"] for item in first["items"]} == {
        "two_words": 2,
        "late.mrc": 1,
    }
    (moved,) = second["items"]
    assert (moved["name"], moved["_cryoferryRevision"], moved["dim"]) == ("one.mrc", 2, [48, 32, 1])
    assert second["pixel_size"] == pytest.approx(2.12)
    assert (first["size"], first["size_in_project"]) == (2, 2)


def test_a_look_from_another_pid_namespace_closes_nothing(
    live: Any, run_in_scipion: Callable[..., str], inspect: Callable[[Path], Any]
) -> None:
    elsewhere = ("unshare", "--pid", "--fork", "--mount-proc")
    if subprocess.run([*elsewhere, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a PID namespace: run as root")
    said = run_in_scipion("scipion_refresh.py", str(project_of(live)), prefix=elsewhere)
    assert said.split() == ["running"]
    (run,) = inspect(project_of(live))["runs"]
    assert run["outputs"]["outputMicrographs"]["stream"] == "open"
    live.publish("three", seed=5)
    wait_until(lambda: registered(live) == 3, "the follower goes on")


@pytest.mark.parametrize(
    "action", ["stop", pytest.param("stop-streaming", marks=pytest.mark.skipif(not IN_CAMPAIGN, reason=CAMPAIGN))]
)
def test_who_is_stopped_by_hand_stays_stopped_until_continued(
    live: Any, run_in_scipion: Callable[..., str], inspect: Callable[[Path], Any], action: str
) -> None:
    run_in_scipion("scipion_user.py", str(project_of(live)), action)
    wait_until(lambda: not follower_pids(live.data), "the follower has ended")
    live.publish("three", seed=5)
    wait_until(
        lambda: any("choose Continue there" in detail for detail in live.details("scipion")),
        "the reason in its details",
    )
    assert registered(live) == 2
    run_in_scipion("scipion_user.py", str(project_of(live)), "continue")
    wait_until(lambda: registered(live) == 3, "the follower goes on")
    (run,) = inspect(project_of(live))["runs"]
    assert (run["outputs"]["outputMicrographs"]["size"], run["outputs"]["outputMicrographs"]["stream"]) == (3, "open")


def kill_all(publisher: Any, receiver: subprocess.Popen[bytes]) -> None:
    """Kill -9 receiver and follower."""
    receiver.kill()
    receiver.wait()
    kill_followers(publisher.data)


def test_a_data_folder_that_was_moved(
    publisher: Any, registrar_process: Callable[[], subprocess.Popen[bytes]], inspect: Callable[[Path], Any]
) -> None:
    """The follower starts again with the journal's new place, and every link leads to its file."""
    publisher.publish("one", ctf=True)
    receiver = registrar_process()
    wait_until(lambda: registered(publisher) == 1, "the first micrograph is registered")
    kill_all(publisher, receiver)
    publisher.move(publisher.data.with_name("moved"))
    publisher.publish("two", ctf=True, seed=2)
    registrar_process()
    wait_until(lambda: registered(publisher) == 2, "the second micrograph is registered")
    end(publisher)
    (run,) = inspect(project_of(publisher))["runs"]
    micrographs = run["outputs"]["outputMicrographs"]["items"]
    assert [(item["name"], item["exists"]) for item in micrographs] == [("one.mrc", True), ("two.mrc", True)]
    links = [path for path in publisher.data.rglob("*") if path.is_symlink()]
    assert len(links) == 4
    assert all(link.exists() for link in links)


def test_a_project_folder_that_a_person_moved(
    publisher: Any, registrar_process: Callable[[], subprocess.Popen[bytes]], inspect: Callable[[Path], Any]
) -> None:
    """It is said where it is missed and what to do; a link there is enough, and no second project is made."""
    publisher.publish("one")
    receiver = registrar_process()
    wait_until(lambda: registered(publisher) == 1, "the first micrograph is registered")
    kill_all(publisher, receiver)
    place, elsewhere = project_of(publisher), publisher.data.with_name("elsewhere")
    place.rename(elsewhere)
    publisher.publish("two", seed=2)
    registrar_process()
    wait_until(
        lambda: any(f"is not in {place} any more" in detail for detail in publisher.details("scipion")), "the reason"
    )
    assert not place.exists()
    place.symlink_to(elsewhere)
    wait_until(lambda: registered(publisher) == 2, "the second micrograph is registered")
    (run,) = inspect(elsewhere)["runs"]
    assert [item["exists"] for item in run["outputs"]["outputMicrographs"]["items"]] == [True, True]
