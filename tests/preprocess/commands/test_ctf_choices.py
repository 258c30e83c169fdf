"""The options about the contrast transfer function."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from agents.workers.jobs import changes
from preprocess.commands.options import chosen_alignment
from preprocess.settings import CtfSettings
from tests.running import cryoferry


@pytest.mark.parametrize(
    ("text", "ends"),
    [("0.1-5", (1000, 50000)), ("0.5-2.5", (5000, 25000)), (".3-10", (3000, 100000)), ("1–4", (10000, 40000))],
)
def test_a_range_is_given_in_micrometres(text: str, ends: tuple[float, float]) -> None:
    ctf = chosen_alignment(defocus_range=text).settings.ctf
    assert (ctf.lowest_defocus_angstrom, ctf.highest_defocus_angstrom) == ends


@pytest.mark.parametrize("text", ["", "2", "5-0.1", "1-1", "0-3", "1-300", "-1-2", "a-b", "1e4-5e4", "nan-3"])
def test_what_is_no_range_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"two numbers in µm.* such as 0\.1-5"):
        chosen_alignment(defocus_range=text)


def test_what_is_not_given_is_as_usual() -> None:
    assert chosen_alignment().settings.ctf == CtfSettings()
    assert "ctf" not in changes(chosen_alignment()).get("settings", {})


def test_what_is_given_is_what_retry_changes() -> None:
    chosen = chosen_alignment(ctf=False, phase_shift=True, ctf_groups=10.0)
    assert changes(chosen)["settings"]["ctf"] == {
        "wanted": False,
        "find_phase_shift": True,
        "group_dose_e_per_a2": 10.0,
    }


def test_the_configuration_holds_the_options(tmp_path: Path) -> None:
    (tmp_path / "cryoferry.toml").write_text('[align]\nctf = false\ndefocus_range = "0.5-3"\n')
    done = cryoferry("config", "show", cwd=tmp_path, CRYOFERRY_WATCH__CTF_GROUPS="10")
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    of_align, of_watch = shown[shown.index("[align]") :], shown[shown.index("[watch]") :]
    assert next(line for line in of_align if "defocus_range" in line).startswith('defocus_range = "0.5-3"')
    assert next(line for line in of_watch if "ctf_groups" in line).startswith('ctf_groups = "10"')
