"""Copies of the server of commands are processes like others."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.command_process import CommandProcess, start_command
from tests.running import clean_environment, cryoferry, has_ended


def serve(folder: Path, **environment: str):
    """Start a receiver that says on its stdout where it is."""
    return start_command(
        *("serve", "--json", "--data", folder / "data", "--port", "0"),
        environment=clean_environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def test_a_copy_has_its_own_id_session_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "kernels"))  # as the code for GPUs does when it is imported
    process = serve(tmp_path)
    assert isinstance(process, CommandProcess)
    with process.stdout as told:
        assert f'"pid": {process.pid}' in told.readline()
        assert os.getsid(process.pid) == process.pid
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
    assert has_ended(process.pid)
    assert process.poll() == -signal.SIGKILL


def test_streams_exit_code_folder_and_variables_are_those_of_the_command(tmp_path: Path) -> None:
    refused = cryoferry("align", "none.tiff", "--out", "out", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "none.tiff" in refused.stderr
    (tmp_path / "cryoferry.toml").write_text("[serve]\nworkers = 3\n")
    shown = cryoferry("config", "show", cwd=tmp_path, CRYOFERRY_SERVE__PORT="1234")
    assert shown.returncode == 0, shown.stderr
    assert "$CRYOFERRY_SERVE__PORT" in shown.stdout
    assert "workers = 3" in shown.stdout
    assert "$CRYOFERRY_SERVE__PORT" not in cryoferry("config", "show", cwd=tmp_path).stdout


def test_a_variable_that_counts_at_an_import_gets_a_python_of_its_own(tmp_path: Path) -> None:
    process = serve(tmp_path, PYTHONMALLOC="malloc")
    assert isinstance(process, subprocess.Popen)
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_variable_that_is_not_given_is_not_there() -> None:
    prints = "import os; print('HOME' in os.environ)"
    without = {name: value for name, value in clean_environment().items() if name != "HOME"}
    for environment, told in ((clean_environment(HOME="/"), "True"), (without, "False")):
        process = start_command(
            *("-n", "1", "-r", "1", prints),
            module="timeit",
            environment=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert isinstance(process, CommandProcess)
        with process.stdout as said:
            assert said.readline().strip() == told
            said.read()
        assert process.wait(60) == 0
