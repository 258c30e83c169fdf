"""Every command in README and docs is run against a real receiver, and what the text promises of it is looked at."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.documentation.place import Place
from tests.documentation.promises import promise_of
from tests.running import cryoferry

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def commands(document: Path) -> list[str]:
    """The command lines of a document, continuation lines joined."""
    blocks = CONSOLE.findall(document.read_text("utf-8"))
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.fixture
def place(document: Path, tmp_path: Path):
    made = Place(tmp_path, is_by_shell=document.name == "README.md")
    yield made
    made.stop()


@pytest.mark.parametrize("document", list(filter(commands, DOCUMENTS)), ids=lambda path: path.name)
def test_every_command_works(document: Path, place: Place) -> None:
    written = commands(document)
    if any("vm.example.org" in command for command in written):
        place.prepare()
    for command in written:
        if command.startswith("make "):
            (target,) = shlex.split(command.split("#")[0])[1:2]
            subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
        else:
            promise_of(command)(place, place.run(command))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    missing = [link for link in LINK.findall(document.read_text("utf-8")) if not (document.parent / link).exists()]
    assert not missing


def test_the_example_configuration_is_accepted(tmp_path: Path) -> None:
    text = (ROOT / "docs/configuration.md").read_text("utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert tomllib.loads(example)
    (tmp_path / "cryoferry.toml").write_text(example, "utf-8")
    shown = cryoferry("config", "show", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
