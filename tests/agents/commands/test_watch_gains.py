"""A whole agent that finds gain references by itself: SerialEM's DM4, turned; the right one of Falcon's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from preprocess.simulation import SimulationSettings, simulate_movie, write_dm4, write_gain
from tests.agents.agent_process import StartAgent
from tests.running import cryoferry
from transfer.client import ReceiverClient

SERIALEM = "serialem/frames/m_0001_Mar05_12.00.00.tif"
MDOC = (
    "[FrameSet = 0]\nGainReference = X:\\frames\\SuperRef_m_0000_Mar05_09.00.00.dm4\nRotationAndFlip = 5\n"
    "PixelSpacing = 1.1\nDefectFile = defects_m.txt\n"
)
DEFECTS = "CameraSizeX 256\nCameraSizeY 256\nRotationAndFlip 5\nBadColumns 7\n"
EPU = "epu/Images-Disc1/GridSquare_1/Data/FoilHole_7_Data_2_3_20260108_120000_EER.eer"
UNDECIDED = "other/a.tiff"
CLEAR = SimulationSettings(height=256, width=256, frame_count=6, seed=1, motion_px=4, dose_per_frame_e_per_a2=3)
"""A movie with enough counts to show how its gain reference lies."""
FOUND_BY = "its mdoc names it; its mdoc says RotationAndFlip = 5"
LATEST = "the latest of 3 that is not later than the movie, by the times in their names in the folder epu"
NOTHING_DECIDES = "nothing decides between gain references (gain_1.mrc, gain_2.mrc)"


def lay_serialem(source: Path) -> Path:
    """Write a movie whose frames were turned, and the camera's gain reference, which was not; return it."""
    simulated = simulate_movie(CLEAR)
    assert simulated.gain is not None
    for folder in ("frames", "Gain"):
        (source / "serialem" / folder).mkdir(parents=True)
    simulated.write(source / SERIALEM)
    as_the_camera_lies = np.rot90(simulated.gain[::-1], 1)  # undoes: rotate by 90 degrees clockwise, then flip y
    dm4 = source / "serialem/Gain/SuperRef_m_0000_Mar05_09.00.00.dm4"
    write_dm4(dm4, as_the_camera_lies[::-1])  # its rows count from the top
    dm4.with_name("SuperRef_other.dm4").write_bytes(dm4.read_bytes())
    dm4.with_name("defects_m.txt").write_text(DEFECTS)
    (source / f"{SERIALEM}.mdoc").write_text(MDOC)
    return dm4


def lay_epu(source: Path) -> Path:
    """Write a movie in EER and three gain references; return the right one."""
    simulated = simulate_movie(replace(CLEAR, seed=2))
    assert simulated.gain is not None
    (source / EPU).parent.mkdir(parents=True)
    simulated.write(source / EPU, hardware_frames_per_frame=24)
    gains = [source / f"epu/2026010{day}_070000_EER_GainReference.gain" for day in (7, 8, 9)]
    for gain in gains:
        values = simulated.gain if gain is gains[1] else np.full_like(simulated.gain, 1)
        write_gain(gain, values, movie_format="eer")
    return gains[1]


def lay_undecided(source: Path) -> None:
    """Write a movie and two gain references of the same time."""
    (source / "other").mkdir()
    simulate_movie(SimulationSettings(height=256, width=256, frame_count=6, seed=1, motion_px=4)).write(
        source / UNDECIDED
    )
    for name, spread in (("gain_1.mrc", 0.01), ("gain_2.mrc", 0.02)):
        gain = np.random.default_rng(2).normal(1, spread, (256, 256)).astype(np.float32)
        write_gain(source / "other" / name, gain, movie_format="tiff")


def test_each_movie_gets_the_reference_of_its_session_and_the_log_says_which(
    source: Path, receiver: Any, start_agent: StartAgent
) -> None:
    dm4, falcon = lay_serialem(source), lay_epu(source)
    lay_undecided(source)
    plan = cryoferry("watch", str(source), "--to", receiver.url, "--session", "s", "--dry-run")
    assert f"gain        {dm4}; {FOUND_BY}; " in plan.stdout
    assert f"gain        {falcon}; {LATEST}; " in plan.stdout
    token = receiver.token("agent", "s")
    agent = start_agent(receiver.url, token, "--eer-frames", "24", "--workers", "1", "--input-wait", "0")
    movies = (SERIALEM, EPU, UNDECIDED)
    agent.until(lambda: all(agent.states().get(movie) == ("released", 1) for movie in movies), "all are released")
    assert agent.end() == 0
    log = agent.log.read_text()
    assert f"{SERIALEM}: the gain reference is {dm4}: {FOUND_BY}" in log
    assert f"{EPU}: the gain reference is {falcon}: {LATEST}" in log
    assert f"{UNDECIDED}: no gain reference is taken: {NOTHING_DECIDES}" in log
    with ReceiverClient(receiver.url, token) as client:
        records = {each.record.movie: each.record for each in client.exposures("s").exposures if each.record}
    digests = {movie: record.provenance.gain_digest for movie, record in records.items() if record.provenance}
    wanted = {SERIALEM: blake3(dm4.read_bytes()).hexdigest(), EPU: blake3(falcon.read_bytes()).hexdigest()}
    assert digests == {**wanted, UNDECIDED: None}
    found_by = {movie: record.provenance.gain_found_by for movie, record in records.items() if record.provenance}
    assert found_by == {SERIALEM: FOUND_BY, EPU: LATEST, UNDECIDED: None}
    paths = {movie: record.provenance.gain_path for movie, record in records.items() if record.provenance}
    assert paths == {
        SERIALEM: dm4.relative_to(source).as_posix(),
        EPU: falcon.relative_to(source).as_posix(),
        UNDECIDED: None,
    }
    texts = {movie: " ".join(warning.text for warning in record.warnings) for movie, record in records.items()}
    assert "gain" not in texts[SERIALEM]
    assert NOTHING_DECIDES in texts[UNDECIDED]
