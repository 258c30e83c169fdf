"""The command as a user meets it: help, exit codes, errors, precedence, `--json`."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from configuration import Configuration, Invocation
from cryoferry import COMMANDS, _all_commands
from tests import running

ROOT = Path(__file__).parents[1]


def cryoferry(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return running.cryoferry(*arguments, cwd=cwd, **{"HOME": str(cwd), **environment})


def test_help_shows_every_command_and_the_exit_codes(tmp_path: Path) -> None:
    shown = cryoferry("--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert not [name for name in COMMANDS if f" {name} " not in shown.stdout]
    assert "130 interrupted" in shown.stdout


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
    assert COMMANDS[command].summary in " ".join(shown.split()), "the list of commands says something else"
    own = COMMANDS[command].module
    assert own in loaded
    others = {mounted.module for mounted in COMMANDS.values()} - {own}
    assert not loaded & (others | HEAVY)


def test_a_configuration_file_imports_the_commands_that_it_names_alone(tmp_path: Path) -> None:
    (tmp_path / "cryoferry.toml").write_text('[align]\nvoltage = 200\n[send]\nsession = "s"\n', "utf-8")
    _, loaded = help_and_modules("verify", tmp_path)
    assert {name for name, mounted in COMMANDS.items() if mounted.module in loaded} == {"align", "send", "verify"}


def test_help_names_units_and_no_python_types(tmp_path: Path) -> None:
    invocation = Invocation(Configuration(None, {}), dict)
    for section, command in _all_commands().items():
        context = command.make_context(section, [], obj=invocation, resilient_parsing=True)
        for param in command.get_params(context):
            shown = f"{param.display_type_rich(ctx=context) or ''} {param._get_number_range_help_str()}"
            assert not re.search(r"[<>=\[\]]", shown), (section, param.name, shown)
            assert param.help, (section, param.name)
    page = cryoferry("watch", "--help", cwd=tmp_path).stdout
    assert not re.search(r"<\w|x[<>]=", page)


def test_help_is_there_when_the_configuration_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "cryoferry.toml").write_text("[align\n", "utf-8")
    assert cryoferry("align", "--help", cwd=tmp_path).returncode == 0
    assert cryoferry("status", cwd=tmp_path).returncode == 2


def test_a_reader_that_closes_the_pipe_is_no_error(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m cryoferry config show | head -n 1"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120, check=False
    )
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


BASH_COMPLETION = """
cryoferry() { "$PYTHON" -m cryoferry "$@"; }
export -f cryoferry
mkdir bin && printf '#!/bin/sh\\nexec "$PYTHON" -m cryoferry "$@"\\n' > bin/cryoferry && chmod +x bin/cryoferry
unset -f cryoferry
PATH=$PWD/bin:$PATH
eval "$(cryoferry --show-completion bash)"
complete_words() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    _cryoferry_completion cryoferry
    echo "${COMPREPLY[*]}"
}
complete_words cryoferry s
complete_words cryoferry session ""
complete_words cryoferry align --pixel
"""


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable, "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH_COMPLETION],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "status serve session send simulate",
        "start end reopen export",
        "--pixel-size",
    ], done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
@pytest.mark.parametrize("output", [(), ("--json",)], ids=["text", "json"])
def test_a_full_disk_under_stdout_is_an_error_without_a_traceback(output: tuple[str, ...], tmp_path: Path) -> None:
    command = shlex.join([sys.executable, "-m", "cryoferry", "config", "show", *output])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} > /dev/full"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert "the output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_closed_output_is_no_error(closed: str, tmp_path: Path) -> None:
    command = shlex.join([sys.executable, "-m", "cryoferry", "config", "show", "--json"])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} {closed}"], capture_output=True, cwd=tmp_path, env=environment, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("command", [("demo",), ("bench", "align", "small"), ("bench", "transfer"), ("simulate",)])
def test_a_file_in_place_of_the_output_folder_is_refused_at_once(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x", "utf-8")
    refused = cryoferry(*command, "--out", "taken", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "taken is a file, not a folder" in refused.stderr
    assert (tmp_path / "taken").read_text("utf-8") == "x"


def test_version(tmp_path: Path) -> None:
    assert cryoferry("--version", cwd=tmp_path).stdout.startswith("cryoferry ")


def test_no_arguments_show_the_help(tmp_path: Path) -> None:
    shown = cryoferry(cwd=tmp_path)
    assert "Usage" in shown.stdout + shown.stderr


@pytest.mark.parametrize("arguments", [("sned",), ("align", "--pixelsize", "1"), ("align",)])
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert cryoferry(*arguments, cwd=tmp_path).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (("sned",), "UsageError", "send"),
        (("align", "--pixelsize", "1"), "NoSuchOption", "--pixel-size"),
        (("align",), "MissingParameter", "MOVIE…, --out DIR"),
        (("send", "x", "--session", "s"), "MissingParameter", "missing: --to URL"),
        (("align", "m.tiff", "--out", "o", "--bin", "x"), "BadParameter", "--bin: 'x' is not a whole number"),
        (("align", "m.tiff", "--out", "o", "--bin", "9"), "BadParameter", "the most is 8"),
        (("align", "m.tiff", "--out", "o", "--gain-flip", "z"), "BadParameter", "'z' is not one of"),
        (("align", "m.tiff", "--out", "o", "--patches", "0x1"), "BadParameter", "--patches 0x1"),
    ],
)
def test_wrong_usage_is_an_object_with_json(arguments: tuple[str, ...], kind: str, said: str, tmp_path: Path) -> None:
    told = cryoferry(*arguments, "--json", cwd=tmp_path)
    assert told.returncode == 2
    (line,) = told.stdout.splitlines()
    error = json.loads(line)["error"]
    assert (error["type"], error["exit_code"]) == (kind, 2)
    assert said in error["message"] + error["hint"]
    assert "--help" in error["hint"]


def test_an_option_without_its_value_is_named_with_its_command(tmp_path: Path) -> None:
    told = cryoferry("send", "--json", "--background", cwd=tmp_path)
    error = json.loads(told.stdout)["error"]
    assert error["message"] == "--background needs a value"
    assert "`cryoferry send --help`" in error["hint"]


def test_a_bad_value_is_named_where_it_stands(tmp_path: Path) -> None:
    align = ("align", "m.tiff", "--out", "o")
    (tmp_path / "cryoferry.toml").write_text('[align]\npixel_size = "abc"\npatches = "many"\n', "utf-8")
    in_file = cryoferry(*align, cwd=tmp_path)
    assert in_file.returncode == 2
    assert "`pixel_size` in [align] of cryoferry.toml: 'abc' is not a number" in in_file.stderr
    inherited = cryoferry("watch", "src", "--to", "http://127.0.0.1:1", "--session", "s", cwd=tmp_path)
    assert "`pixel_size` in [align] of cryoferry.toml" in inherited.stderr
    in_environment = cryoferry(*align, cwd=tmp_path, CRYOFERRY_ALIGN__PIXEL_SIZE="1.1.1")
    assert "the environment variable CRYOFERRY_ALIGN__PIXEL_SIZE: '1.1.1' is not a number" in in_environment.stderr
    of_the_command = cryoferry(*align, "--pixel-size", "1.1", cwd=tmp_path)
    assert "`patches` in [align] of cryoferry.toml" in of_the_command.stderr
    (tmp_path / "cryoferry.toml").write_text('[watch]\nto = "http://elsewhere"\nsession = "s"\n', "utf-8")
    of_an_error = cryoferry("session", "start", cwd=tmp_path, CRYOFERRY_TOKEN="cf_x")
    assert of_an_error.returncode == 2
    assert "http://elsewhere" in of_an_error.stderr
    assert "`to` in [watch] of cryoferry.toml" in of_an_error.stderr
    (tmp_path / "cryoferry.toml").write_text('[watch]\nsession = "a b"\nwork = "nowhere"\n', "utf-8")
    of_an_argument = cryoferry("session", "end", "--to", "http://127.0.0.1:1", cwd=tmp_path, CRYOFERRY_TOKEN="cf_x")
    assert "`session` in [watch] of cryoferry.toml" in of_an_argument.stderr
    of_the_agent = cryoferry("status", cwd=tmp_path)
    assert "`work` in [watch] of cryoferry.toml" in of_the_agent.stderr


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


def test_a_list_comes_from_the_file_and_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in ("a.mrc", "b.png", "c.json"):
        (tmp_path / "run" / name).touch()
    (tmp_path / "cryoferry.toml").write_text('[send]\nbackground = ["a.*", "b.*"]\n', "utf-8")
    send = ("send", "run", "--to", "https://x.invalid", "--session", "s", "--dry-run", "--json")

    def last(shown: subprocess.CompletedProcess[str]) -> set[str]:
        assert shown.returncode == 0, shown.stderr
        return {json.loads(line)["path"] for line in shown.stdout.splitlines()[1:]}

    assert last(cryoferry(*send, cwd=tmp_path)) == {"run/a.mrc", "run/b.png"}
    assert last(cryoferry(*send, cwd=tmp_path, CRYOFERRY_SEND__BACKGROUND="c.*, b.*")) == {"run/b.png", "run/c.json"}


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
    assert spoken.returncode == 2
    assert "missing.tiff" in spoken.stderr
    assert "Traceback" not in spoken.stderr
    assert not (tmp_path / "out").exists()
    printed = cryoferry(*arguments, "--json", cwd=tmp_path)
    assert printed.returncode == 2
    assert "missing.tiff" in printed.stdout
    assert all(json.loads(line) for line in printed.stdout.splitlines())
