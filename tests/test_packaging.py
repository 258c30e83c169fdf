"""What a release holds: the source archive holds the whole project, tests and the Scipion installer too."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOT_OURS = shutil.ignore_patterns(".*", "*.so", "*.egg-info", "__pycache__", "build", "dist", "cryoferry-*")
FOLDERS = ("agents", "api", "benchmarks", "deploy", "docs", "preprocess", "tests", "transfer")


def test_the_source_archive_holds_tests_docs_and_the_scipion_installer(tmp_path: Path) -> None:
    tree = tmp_path / "tree"  # a build leaves files in its tree
    shutil.copytree(ROOT, tree, ignore=NOT_OURS)
    shutil.copytree(ROOT / ".ci", tree / ".ci")
    program = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, tmp_path], cwd=tree, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {member.name.partition("/")[2] for member in opened.getmembers() if member.isfile()}
    expected = {
        str(path.relative_to(tree))
        for folder in FOLDERS
        for path in (tree / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not any("egg-info" in part for part in path.parts)
    }
    assert len(expected) > 400
    assert not expected - names
    assert {"Makefile", "requirements.lock", "requirements-dev.lock", ".ci/run", "CHANGELOG.md"} <= names
