"""Commands whose output nobody reads, or which the machine denies something: they say what to do, or end silently."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from benchmarks.flow.filled_journal import FilledSession, fill_journal
from tests.running import COMMAND, clean_environment
from transfer.wire.exposure_record import FileRole

STATUS = f"{shlex.join(COMMAND)} status --work work --all"
WATCH = (
    f"{shlex.join(COMMAND)} watch source --work new --to http://127.0.0.1:9 --session s --pixel-size 1.1 --voltage 300"
    " --dose-per-frame 1 --device cpu"
)


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell, which answers with the exit code of the first command of a pipe."""
    script = f"{line}; exit ${{PIPESTATUS[0]}}"
    environment = clean_environment(CRYOFERRY_TOKEN="x", XDG_STATE_HOME=str(folder / "state"))
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a work folder of so many exposures that their list fills a pipe."""
    folder = tmp_path_factory.mktemp("limits")
    session = FilledSession(exposure_count=600, files={FileRole.MICROGRAPH: (".mrc", 1000)})
    (folder / "source").mkdir()
    fill_journal(folder / "work", session)
    return folder


@pytest.mark.parametrize(
    "line",
    [f"{STATUS} --json | head -1", f"{STATUS} | head -1", f"{STATUS} --json 2>&- | head -1", f"{STATUS} 2>&- >&-"],
)
def test_an_output_that_nobody_reads_is_no_error_to_report(folder: Path, line: str) -> None:
    done = shell(line, folder)
    assert done.stderr == ""
    assert done.returncode in (0, 1)


def test_doctor_names_a_limit_of_addresses(folder: Path) -> None:
    done = shell(f"ulimit -v 600000; {shlex.join(COMMAND)} doctor --work work --json", folder)
    (found,) = (line for line in map(json.loads, done.stdout.splitlines()) if line["check"] == "memory")
    assert (done.returncode, found["verdict"]) == (1, "fail")
    assert "614 MB" in found["text"]
    assert "ulimit -v" in found["what_to_do"]


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (f"{STATUS} >/dev/full", 7, "Free space on that disk"),
        (f"ulimit -f 0; {WATCH} | cat", 7, "ulimit -f"),
        (f"ulimit -n 8; {WATCH} | cat", 4, "ulimit -n"),
        (f"ulimit -v 600000; {WATCH}", 7, "ulimit -v"),
        (f"ulimit -v 300000; {shlex.join(COMMAND)} align movie.tiff", 7, "ulimit -v"),
        (f"ulimit -v 300000; {shlex.join(COMMAND)} ctf image.mrc", 7, "ulimit -v"),
        (f"{WATCH} --work /proc/new", 2, "Give another folder with --work"),
    ],
)
def test_a_limit_of_the_machine_says_what_to_do(folder: Path, line: str, code: int, told: str) -> None:
    done = shell(line, folder)
    assert done.returncode == code, done.stderr
    assert told in done.stderr.partition("what to do: ")[2]
    assert "Traceback" not in done.stderr
    assert "report" not in done.stderr
