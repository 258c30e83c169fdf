from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.scipion_followers import kill_protocols

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Any]:
    """A receiver's data folder with one session."""
    path = ROOT / "tests" / "api" / "registrars" / "publisher.py"
    spec = importlib.util.spec_from_file_location("registrars_publisher", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.Publisher(tmp_path / "data")
    yield made
    made.database.close()


@pytest.fixture(scope="session")
def scipion() -> Path:
    """A folder that holds a Scipion made by the plugin's install.py."""
    folder = Path(os.environ.get("CRYOFERRY_TEST_SCIPION") or ROOT / ".scipion")
    if not (folder / "cryoferry-scipion.json").exists():
        pytest.skip("needs a Scipion environment: make scipion")
    return folder


@pytest.fixture(scope="session")
def run_in_scipion(scipion: Path) -> Callable[..., str]:
    """Run a script of this folder with Scipion's interpreter; return what it printed."""
    description = json.loads((scipion / "cryoferry-scipion.json").read_text("utf-8"))

    def run(script: str, *arguments: str, prefix: tuple[str, ...] = ()) -> str:
        # files, not pipes: what the script launches may outlive it and would hold a pipe open
        with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
            done = subprocess.run(
                [*prefix, description["python"], str(HERE / script), *arguments],
                env={**os.environ, **description["environment"]},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complained,
                timeout=120,
                check=False,
            )
            said.seek(0)
            complained.seek(0)
            assert done.returncode == 0, complained.read()
            return said.read()

    return run


@pytest.fixture
def inspect(run_in_scipion: Callable[..., str]) -> Callable[[Path], Any]:
    """What a fresh process of Scipion sees in a project."""
    return lambda project: json.loads(run_in_scipion("scipion_inspector.py", str(project)))


@pytest.fixture
def registrar_process(publisher: Any, scipion: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start the registrars in a process of their own, as a receiver does; followers are ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(command: str = "", **settings: Any) -> subprocess.Popen[bytes]:
        script = (
            "import json, sys, time; from pathlib import Path; from api.database.engine import Database;"
            "from api.registrars.runner import RegistrarRunner; from api.registrars.settings import RegistrarSettings;"
            "data = Path(sys.argv[1]);"
            "settings = RegistrarSettings(scipion=sys.argv[2], relion=False, **json.loads(sys.argv[3]));"
            "RegistrarRunner(settings, Database(f'sqlite:///{data}/receiver.sqlite'), data).start();"
            "time.sleep(600)"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(publisher.data), command or str(scipion), json.dumps(settings)]
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
    kill_protocols(publisher.data)


@pytest.fixture(scope="session")
def ask(scipion: Path) -> Iterator[Callable[..., Any]]:
    """Ask a process of Scipion's interpreter, one for all tests: it needs seconds to start."""
    description = json.loads((scipion / "cryoferry-scipion.json").read_text("utf-8"))
    process = subprocess.Popen(
        [description["python"], str(HERE / "scipion_box.py")],
        env={**os.environ, **description["environment"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    questions, answers = process.stdin, process.stdout

    def ask_it(do: str, **request: Any) -> Any:
        questions.write(json.dumps({"do": do, **request}) + "\n")
        questions.flush()
        answer = answers.readline()
        assert answer, f"Scipion's process ended at {do}"
        said = json.loads(answer)
        assert "error" not in said, said["error"]
        return said["done"]

    with process:
        yield ask_it
        questions.close()
