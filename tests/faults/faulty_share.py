"""A share that fails on command: a file system in user space that passes everything on to a folder.

The child process reads the fault from a file before each call, so that a test can change it at any time.
"""

from __future__ import annotations

import ctypes.util
import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.running import ROOT
from tests.waiting import wait_until

POLL_S = 0.02


def why_not() -> str:
    """Return why this machine cannot have such a share; empty if it can."""
    if os.name != "posix" or os.getuid() != 0:
        return "needs root, to mount a file system in user space"
    if not Path("/dev/fuse").exists() or shutil.which("fusermount3") is None or not ctypes.util.find_library("fuse3"):
        return "needs FUSE 3 (Debian: apt-get install fuse3)"
    return ""


class FaultyShare:
    """A folder `files` that is mounted at `mount`.

    Attributes
    ----------
    files
        What the server of the share holds; always well.
    mount
        Where the agent sees it.
    """

    def __init__(self, folder: Path) -> None:
        self.files, self.mount, self._control = folder / "files", folder / "mount", folder / "fault.json"
        self.files.mkdir(parents=True)
        self.mount.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self.heal()

    def start(self) -> None:
        """Mount the share."""
        command = [sys.executable, __file__, str(self.files), str(self.mount), str(self._control)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._process = process
        wait_until(self.mount.is_mount, "the share is not mounted", alive=lambda: process.poll() is None)

    def fail(self, number: int, *calls: str, only: str = "") -> None:
        """Let these calls (`readdir`, `getattr`, `open`, `read`; all of them if none is given) fail with an errno.

        With `only`, those of paths that contain it.
        """
        self._set({"calls": calls, "errno": number, "only": only})

    def lose(self, name: str) -> None:
        """Say that files whose path contains `name` are not there, though they are listed."""
        self._set({"calls": ["getattr", "open"], "errno": errno.ENOENT, "only": name})

    def cut(self, name: str) -> None:
        """Let files whose path contains `name` end in their middle when they are read, without an error."""
        self._set({"calls": ["read"], "cuts": True, "only": name})

    def list_nothing(self) -> None:
        """Let every folder look empty."""
        self._set({"calls": ["readdir"], "empties": True})

    def hang(self, *calls: str) -> None:
        """Let these calls wait until the next change."""
        self._set({"calls": calls, "hangs": True})

    def heal(self) -> None:
        """Let every call work again."""
        self._set({})

    def vanish(self) -> None:
        """Kill the share's server: every call fails with ENOTCONN."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def unmount(self) -> None:
        """End the share's server, and leave an empty folder at the mount point."""
        self.vanish()
        subprocess.run(["umount", "--lazy", str(self.mount)], check=False, capture_output=True)

    def _set(self, fault: dict[str, Any]) -> None:
        new = self._control.with_suffix(".new")
        new.write_text(json.dumps(fault))
        new.replace(self._control)


@contextmanager
def faulty_share(folder: Path) -> Iterator[FaultyShare]:
    """Mount a share; unmount it at the end, whatever it does then."""
    share = FaultyShare(folder)
    share.start()
    try:
        yield share
    finally:
        share.heal()
        share.unmount()


class _Faults:
    """The fault that the control file names now."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self._stamp: tuple[int, int] | None = None
        self._fault: dict[str, Any] = {}

    def _now(self) -> dict[str, Any]:
        status = self._control.stat()
        if (stamp := (status.st_ino, status.st_mtime_ns)) != self._stamp:
            self._fault, self._stamp = json.loads(self._control.read_text()), stamp
        return self._fault

    def meet(self, call: str, path: str) -> str:
        """Fail or wait, if that is the fault of this call; return `cuts` or `empties` if it is to do that."""
        fault = self._now()
        if not fault or (fault["calls"] and call not in fault["calls"]) or fault.get("only", "") not in path:
            return ""
        if "errno" in fault:
            raise OSError(fault["errno"], os.strerror(fault["errno"]))
        while "hangs" in fault and self._now() == fault:
            time.sleep(POLL_S)
        return "cuts" if "cuts" in fault else "empties" if "empties" in fault else ""


def _serve(files: str, mount: str, control: str) -> None:
    import mfusepy

    faults = _Faults(Path(control))

    class Share(mfusepy.Operations):  # type: ignore[misc]
        use_ns = True

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            faults.meet("getattr", path)
            status = os.lstat(files + path)
            names = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_ino")
            times = {f"st_{kind}time": getattr(status, f"st_{kind}time_ns") for kind in "amc"}
            return {name: getattr(status, name) for name in names} | times

        def readdir(self, path: str, fh: int, *_more: Any) -> list[str]:
            if faults.meet("readdir", path) == "empties":
                return [".", ".."]
            return [".", "..", *(entry.name for entry in Path(files + path).iterdir())]

        def open(self, path: str, flags: int) -> int:
            faults.meet("open", path)
            return os.open(files + path, os.O_RDONLY)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            if faults.meet("read", path) == "cuts":
                size = max(0, min(size, os.fstat(fh).st_size // 2 - offset))
            return os.pread(fh, size, offset)

        def release(self, path: str, fh: int) -> None:
            os.close(fh)

        def statfs(self, path: str) -> dict[str, int]:
            faults.meet("statfs", path)
            status = os.statvfs(files)
            return {name: getattr(status, name) for name in ("f_bsize", "f_blocks", "f_bavail", "f_bfree", "f_namemax")}

    mfusepy.FUSE(Share(), mount, foreground=True, allow_other=True, nothreads=False, direct_io=True, attr_timeout=0)


if __name__ == "__main__":
    _serve(*sys.argv[1:4])
