"""The command as a user meets it: help, exit codes, errors, precedence, `--json`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cryoferry import COMMANDS

ROOT = Path(__file__).parents[1]


def cryoferry(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRYOFERRY_")}
    return subprocess.run(
        [sys.executable, "-m", "cryoferry", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**clean, "COLUMNS": "120", "NO_COLOR": "1", "HOME": str(cwd), **environment},
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )


def test_help_shows_every_command_and_the_exit_codes(tmp_path: Path) -> None:
    shown = cryoferry("--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert not [name for name in COMMANDS if f" {name} " not in shown.stdout]
    assert "integrity mismatch" in shown.stdout


LOADED = """
import sys, cryoferry
sys.argv = ["cryoferry", *sys.argv[1:]]
try:
    cryoferry.main()
finally:
    print("\\n" + "LOADED", *sys.modules)
"""
HEAVY = {"numpy", "numba", "httpx", "fastapi", "sqlalchemy", "uvicorn", "watchdog", "scipy", "matplotlib"}


def help_and_modules(command: str, cwd: Path) -> tuple[str, set[str]]:
    """Return a command's help, and the modules that showing it loaded."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRYOFERRY_")}
    done = subprocess.run(
        [sys.executable, "-c", LOADED, command, "--help"],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**clean, "COLUMNS": "120", "NO_COLOR": "1", "HOME": str(cwd), "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown, _, loaded = done.stdout.rpartition("LOADED")
    return shown, set(loaded.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_that_command_alone(command: str, tmp_path: Path) -> None:
    shown, loaded = help_and_modules(command, tmp_path)
    assert f"Usage: cryoferry {command}" in shown
    own = COMMANDS[command].module
    assert own in loaded
    others = {mounted.module for mounted in COMMANDS.values()} - {own}
    assert not loaded & (others | HEAVY)


def test_a_configuration_file_imports_the_commands_that_it_names_alone(tmp_path: Path) -> None:
    (tmp_path / "cryoferry.toml").write_text('[align]\nvoltage = 200\n[send]\nsession = "s"\n', "utf-8")
    _, loaded = help_and_modules("verify", tmp_path)
    assert {name for name, mounted in COMMANDS.items() if mounted.module in loaded} == {"align", "send", "verify"}


def test_version(tmp_path: Path) -> None:
    assert cryoferry("--version", cwd=tmp_path).stdout.startswith("cryoferry ")


def test_no_arguments_show_the_help(tmp_path: Path) -> None:
    shown = cryoferry(cwd=tmp_path)
    assert "Usage" in shown.stdout + shown.stderr


@pytest.mark.parametrize("arguments", [("sned",), ("align", "--pixelsize", "1"), ("align",)])
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert cryoferry(*arguments, cwd=tmp_path).returncode == 2


def test_an_unknown_key_names_the_nearest_known_one(tmp_path: Path) -> None:
    (tmp_path / "cryoferry.toml").write_text("[align]\npixle_size = 0.8\n", "utf-8")
    failed = cryoferry("config", "show", cwd=tmp_path)
    assert failed.returncode == 2
    assert "pixel_size" in failed.stderr
    assert "cryoferry.toml" in failed.stderr


def test_an_unknown_variable_names_the_nearest_known_one(tmp_path: Path) -> None:
    failed = cryoferry("config", "show", cwd=tmp_path, CRYOFERRY_WATCH__SESION="x")
    assert failed.returncode == 2
    assert "session" in failed.stderr.lower()


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    """Seen in what `simulate --dry-run` says it would write."""
    base = ("simulate", "--out", "movies", "--dry-run", "--json")

    def frames(*flags: str, **environment: str) -> int:
        shown = cryoferry(*base, *flags, cwd=tmp_path, **environment)
        assert shown.returncode == 0, shown.stderr
        return int(json.loads(shown.stdout.splitlines()[0])["settings"]["frame_count"])

    default = frames()
    (tmp_path / "cryoferry.toml").write_text("[simulate]\nframes = 5\n", "utf-8")
    assert default != 5
    assert frames() == 5
    assert frames(CRYOFERRY_SIMULATE__FRAMES="6") == 6
    assert frames("--frames", "7", CRYOFERRY_SIMULATE__FRAMES="6") == 7


def test_an_error_is_an_object_with_json_and_a_sentence_without(tmp_path: Path) -> None:
    arguments = (
        "align",
        "missing.tiff",
        "--out",
        "out",
        "--pixel-size",
        "1.1",
        "--voltage",
        "300",
        "--no-dose-weighting",
    )
    spoken = cryoferry(*arguments, cwd=tmp_path)
    assert spoken.returncode == 4
    assert "missing.tiff" in spoken.stderr
    assert "Traceback" not in spoken.stderr
    assert not (tmp_path / "out").exists()
    printed = cryoferry(*arguments, "--json", cwd=tmp_path)
    assert printed.returncode == 4
    assert "missing.tiff" in printed.stdout
    assert all(json.loads(line) for line in printed.stdout.splitlines())
