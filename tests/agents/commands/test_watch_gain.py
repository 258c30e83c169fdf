"""An agent waits for the gain reference that a movie's counts need, and says so; what comes later makes a revision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preprocess.simulation import SimulatedMovie, SimulationSettings, simulate_movie, write_mrc
from tests.agents.agent_process import ACQUISITION, AgentProcess, StartAgent
from tests.running import cryoferry_here
from transfer.client import ReceiverClient
from transfer.wire.exposure_record import ExposureRecord

EER = ("--eer-frames", "1", "--dose-per-frame", "1", "--gain-rotate", "0")
WAITS = "waits for its gain reference; EER holds electrons as the camera counted them"


@pytest.fixture(scope="module")
def simulated() -> SimulatedMovie:
    return simulate_movie(SimulationSettings(height=128, width=128, frame_count=3, seed=1, gain=True))


@pytest.fixture
def lay_movie(simulated: SimulatedMovie, source: Path) -> Callable[[str], None]:
    def lay(name: str) -> None:
        simulated.write(source / f"{name}.tmp.eer", hardware_frames_per_frame=1)
        with (source / f"{name}.tmp.eer").open("ab") as file:
            file.write(name.encode())  # each has a content of its own
        (source / f"{name}.tmp.eer").rename(source / f"{name}.eer")

    return lay


def records(receiver: Any, token: str) -> dict[str, ExposureRecord]:
    with ReceiverClient(receiver.url, token) as client:
        return {exposure.record.movie: exposure.record for exposure in client.exposures("s").exposures}


def misses_gain(record: ExposureRecord) -> bool:
    return "no-gain" in [warning.code for warning in record.warnings]


def reason_of(agent: AgentProcess, movie: str) -> str:
    return next((line["reason"] for line in reversed(agent.lines) if line.get("movie") == movie), "")


@pytest.fixture
def retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    def run(*arguments: object) -> None:
        done = cryoferry_here(monkeypatch, capsys, "retry", "--work", tmp_path / "work", *arguments)
        assert done.returncode == 0, done.stderr

    return run


def test_movies_wait_until_somebody_decides(
    lay_movie, simulated, source, receiver, retry, start_agent: StartAgent, monkeypatch, capsys
) -> None:
    token = receiver.token("agent", "s")
    lay_movie("a")
    lay_movie("b")
    agent = start_agent(receiver.url, token, *EER)
    agent.until(lambda: all(WAITS in reason_of(agent, movie) for movie in ("a.eer", "b.eer")), "both wait")
    assert "movies wait for a gain reference" in agent.log.read_text()
    assert f"a.eer {WAITS}" in agent.log.read_text()
    done = cryoferry_here(monkeypatch, capsys, "status", "--work", agent.work)
    assert WAITS in " ".join(done.stdout.split())
    retry("b.eer", "--gain", "none")
    agent.wait_for(b_eer="released")
    assert not misses_gain(records(receiver, token)["b.eer"])
    assert agent.states()["a.eer"] == ("found", 1)
    simulated.write_gain(source / "falcon.gain", movie_format="eer")
    agent.wait_for(a_eer="released")
    record = records(receiver, token)["a.eer"]
    assert not misses_gain(record)
    assert record.provenance is not None
    assert record.provenance.gain_digest is not None
    assert agent.end() == 0


def test_a_gain_reference_that_comes_after_the_wait_makes_a_revision(
    lay_movie, simulated, source, receiver, start_agent: StartAgent
) -> None:
    token = receiver.token("agent", "s")
    lay_movie("a")
    agent = start_agent(receiver.url, token, *EER, "--gain-wait", "0.5")
    agent.wait_for(a_eer="released")
    record = records(receiver, token)["a.eer"]
    assert misses_gain(record)
    assert "its gain reference did not come within 0.5 s" in agent.log.read_text()
    assert "aligned without a gain reference" in agent.line("a.eer", "released")["warnings"][0]
    assert "a.eer: aligned with a warning: it was aligned without a gain reference" in agent.log.read_text()
    simulated.write_gain(source / "falcon.gain", movie_format="eer")
    agent.wait_for(a_eer="released", revision=2)
    record = records(receiver, token)["a.eer"]
    assert (record.revision, misses_gain(record)) == (2, False)
    assert record.provenance is not None
    assert record.provenance.gain_digest is not None
    assert agent.end() == 0


def test_where_one_is_required_movies_are_held_and_a_stack_is_none(
    lay_movie, simulated, tmp_path, receiver, retry, start_agent: StartAgent
) -> None:
    token = receiver.token("agent", "s")
    lay_movie("a")
    agent = start_agent(receiver.url, token, *EER, "--gain-wait", "0.5", "--require-gain")
    agent.wait_for(a_eer="held")
    assert "no gain reference is known, and --require-gain asks for one" in reason_of(agent, "a.eer")
    assert "--gain none" in agent.line("a.eer", "held")["hint"]
    stack = tmp_path / "stack.mrc"
    write_mrc(stack, [simulated.gain] * 3, frame_count=3, mode=2)
    retry("a.eer", "--gain", stack)
    agent.until(lambda: "it is a stack or a movie" in reason_of(agent, "a.eer"), "the stack is named")
    assert agent.states()["a.eer"][0] == "held"
    retry("a.eer", "--gain", "none")
    agent.wait_for(a_eer="released")
    assert not misses_gain(records(receiver, token)["a.eer"])
    assert agent.end() == 0


@pytest.mark.parametrize(
    ("options", "would"),
    [
        ((), "wait: a.eer because it needs a gain reference, and would wait for it for up to 900 s"),
        (("--gain-wait", "0"), "align and send: a.eer"),
        (("--gain", "none"), "align and send: a.eer"),
        (("--require-gain",), "hold: a.eer because no gain reference is known, and --require-gain asks for one"),
    ],
)
def test_the_dry_run_shows_which_movies_would_wait(lay_movie, source, monkeypatch, capsys, options, would) -> None:
    lay_movie("a")
    done = cryoferry_here(
        monkeypatch, capsys, "watch", source, "--to", "http://127.0.0.1:1", "--session", "s", "--dry-run",
        *ACQUISITION, *options,
    )  # fmt: skip
    assert done.returncode == 0
    what, _, because = would.partition(" because ")
    assert f"would {what}\n" in done.stdout
    assert because in " ".join(done.stdout.split())
