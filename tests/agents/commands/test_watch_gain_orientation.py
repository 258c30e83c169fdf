"""A session whose gain reference lies in another way than its file says: held back until it is known in which."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preprocess.simulation import SimulationSettings, simulate_movie, write_mrc
from tests.agents.agent_process import StartAgent, lay
from tests.running import cryoferry

FAINT = SimulationSettings(height=256, width=256, frame_count=4, dose_per_frame_e_per_a2=0.25, motion_px=2)


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two faint movies, a bright one, and their camera's gain reference, upside down."""
    folder = tmp_path_factory.mktemp("movies")
    for name, seed, dose in (("faint0", 0, 0.25), ("faint1", 1, 0.25), ("bright", 2, 4)):
        movie = simulate_movie(replace(FAINT, seed=seed, dose_per_frame_e_per_a2=dose))
        movie.write(folder / f"{name}.mrc")
    assert movie.gain is not None
    write_mrc(folder / "gain.mrc", [movie.gain[::-1]], frame_count=1, mode=2)
    return folder


def decisions(agent: Any) -> dict[str, tuple[str, str]]:
    """Return how each movie's gain reference was flipped, and why."""
    found = {}
    for path in agent.work.rglob("*.json"):
        told = json.loads(path.read_text())
        if "parameters" in told:
            fit = told["quality"]["gain_fit"]
            found[told["movie"]["name"]] = (told["parameters"]["gain"]["flip"], fit["decision"])
    return found


def test_faint_movies_are_held_back_until_a_clear_one_decides(
    source: Path, movies: Path, receiver: Any, start_agent: StartAgent
) -> None:
    agent = start_agent(
        receiver.url, receiver.token("agent", "s"), "--gain", str(movies / "gain.mrc"), "--keep-outputs"
    )
    lay(movies / "faint0.mrc", source / "faint0.mrc")
    agent.wait_for(faint0_mrc="held")
    line = agent.line("faint0.mrc", "held")
    assert "too faint to tell in which orientation the gain reference gain.mrc fits" in line["reason"]
    assert "--gain-rotate and --gain-flip" in line["hint"]
    lay(movies / "bright.mrc", source / "bright.mrc")
    agent.wait_for(bright_mrc="released", faint0_mrc="released")
    lay(movies / "faint1.mrc", source / "faint1.mrc")
    agent.wait_for(faint1_mrc="released")
    assert "are used with --gain-rotate 0 --gain-flip y (turned)" in agent.log.read_text()
    assert agent.end() == 0
    assert decisions(agent) == dict.fromkeys(("faint0.mrc", "bright.mrc", "faint1.mrc"), ("y", "turned"))


def test_a_person_decides_for_the_whole_session(
    source: Path, movies: Path, receiver: Any, start_agent: StartAgent
) -> None:
    agent = start_agent(
        receiver.url, receiver.token("agent", "s"), "--gain", str(movies / "gain.mrc"), "--keep-outputs"
    )
    for name in ("faint0.mrc", "faint1.mrc"):
        lay(movies / name, source / name)
    agent.wait_for(faint0_mrc="held", faint1_mrc="held")
    done = cryoferry("retry", "faint0.mrc", "--work", str(agent.work), "--gain-rotate", "0", "--gain-flip", "y")
    assert done.returncode == 0, done.stderr
    agent.wait_for(faint0_mrc="released", faint1_mrc="released")
    assert agent.end() == 0
    assert decisions(agent) == dict.fromkeys(("faint0.mrc", "faint1.mrc"), ("y", "given"))
