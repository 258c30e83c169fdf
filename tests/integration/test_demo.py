"""The demo as a user runs it: real processes, real Scipion where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest

from tests.running import COMMAND, cryoferry

ROOT = Path(__file__).parents[2]
SCIPION = Path(os.environ.get("CRYOFERRY_TEST_SCIPION", ROOT / ".scipion"))


def run_demo(folder: Path, *flags: str) -> dict[str, object]:
    done = cryoferry("demo", "--out", folder, "--json", *flags, cwd=folder.parent)
    assert done.returncode == 0, done.stderr[-4000:]
    final: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return final


def check(final: dict[str, object], registrars: set[str], count: int) -> None:
    exposures = final["exposures"]
    assert isinstance(exposures, list)
    assert len(exposures) == count
    assert {exposure["format"] for exposure in exposures} == {"tiff", "mrc", "eer"}
    for exposure in exposures:
        assert set(exposure["registrations"]) == registrars
        assert set(exposure["registrations"].values()) == {"registered"}
        assert exposure["digests_verified"] is True
        assert exposure["motion_error_px"] < 0.3
        assert abs(exposure["defocus_um"] - exposure["true_defocus_um"]) < 0.03
        assert exposure["ctf_resolution_angstrom"] < 8
        assert {"written", "finished", "aligned", "committed", "released", "registered"} <= set(exposure["states"])
    assert final["session_closed"] is True
    assert Path(str(final["relion_star"])).is_file()


def test_demo_without_scipion(tmp_path: Path) -> None:
    final = run_demo(tmp_path / "demo", "--no-scipion", "--exposures", "3", "--size", "512")
    check(final, {"relion"}, 3)
    assert final["scipion_project"] is None


def test_keep_leaves_both_running(tmp_path: Path) -> None:
    final = run_demo(tmp_path / "demo", "--no-scipion", "--exposures", "1", "--size", "256", "--keep")
    pids = final["kept_pids"]
    assert isinstance(pids, dict)
    processes = [psutil.Process(pid) for pid in pids.values()]
    try:
        assert {process.cmdline()[3] for process in processes} == {"serve", "watch"}
        assert httpx.get(f"{final['receiver_url']}/readyz", trust_env=False).status_code == 200
    finally:
        for process in processes:
            process.terminate()
    assert psutil.wait_procs(processes, timeout=30)[1] == []


@pytest.mark.scipion
@pytest.mark.skipif(not (SCIPION / "cryoferry-scipion.json").is_file(), reason="no Scipion here: `make scipion`")
def test_demo_with_scipion(tmp_path: Path) -> None:
    final = run_demo(tmp_path / "demo", "--scipion", str(SCIPION), "--size", "512")
    check(final, {"relion", "scipion"}, 8)
    inspected = subprocess.run(
        [
            str(final["scipion_python"]),
            str(ROOT / "tests/integration/scipion_inspector.py"),
            str(final["scipion_project"]),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    (protocol,) = json.loads(inspected.stdout)["runs"]
    micrographs = protocol["outputs"]["outputMicrographs"]
    assert micrographs["stream"] == "closed"
    assert len({item["name"] for item in micrographs["items"]}) == len(micrographs["items"]) == 8
    assert all(item["exists"] and item["dim"][:2] == [512, 512] for item in micrographs["items"])
    assert micrographs["pixel_size"] == pytest.approx(1.1)
    assert all(len(item["shifts"][0]) > 1 for item in micrographs["items"])


def test_a_folder_of_ones_own_is_never_replaced(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work", "utf-8")
    refused = subprocess.run(
        [*COMMAND, "demo", "--out", str(mine), "--no-scipion"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert (mine / "thesis.tex").read_text("utf-8") == "years of work"
