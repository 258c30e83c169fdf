from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from preprocess.platform import is_running, sync, usable_cores


def test_the_cores_are_those_that_this_process_may_use() -> None:
    assert usable_cores() == len(os.sched_getaffinity(0))


def test_a_system_without_affinity_counts_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == os.cpu_count()


def test_a_process_runs_until_it_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    assert is_running(process.pid)
    process.communicate()
    assert not is_running(process.pid)
    assert is_running(1)  # another user's process counts, too


def test_files_and_folders_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink()))
    (tmp_path / "file").touch()
    sync(tmp_path / "file")
    sync(tmp_path)
    assert synced == [tmp_path / "file", tmp_path]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone has these settings")
@pytest.mark.parametrize("kept", [False, True])
def test_freed_memory_is_kept_for_what_is_needed_next(kept: bool) -> None:
    """Eight arrays of 2 MB, time and again: pages come from the system once, or each time."""
    lines = (
        "import resource, numpy",
        "from preprocess.platform import keep_freed_memory",
        "keep_freed_memory()" if kept else "",
        "def faults():",
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt",
        "    arrays = [numpy.ones(2 << 17) for _ in range(8)]",
        "    del arrays",
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before",
        "first = faults()",
        "print(sum(faults() for _ in range(8)) / first)",
    )
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    found = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True, env=variables
    )
    assert (float(found.stdout) < 1) == kept
