"""A disk whose power can be cut: an ext4 file system in a file. What was not synced before the cut is lost.

The cut is the kernel's own (`EXT4_IOC_SHUTDOWN` without a flush of the journal): from then on nothing reaches the disk,
and every call fails. The file is then copied and the copy mounted, as the disk is after the power came back. The
mounted file system that was cut can stay alive in another mount namespace; it must not write in the file that is used.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

EXT4_IOC_SHUTDOWN = 0x8004587D
WITHOUT_FLUSH = 2
COMMIT_EVERY_S = 300
"""ext4 would write everything every 5 s by itself; a test is to see what the program has synced."""


class PowerCutDisk:
    """A mounted file system of its own, in `folder`."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        if os.geteuid() != 0:
            pytest.skip("mounting a disk whose power is cut needs root: run the tests as root to include this one")
        for program in ("mkfs.ext4", "mount"):
            if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
                pytest.skip(f"{program} is missing: apt-get install e2fsprogs mount")
        folder.mkdir(parents=True)
        self.mount_point = folder / "disk"
        self._image = folder / "disk.img"
        self._mounted = False
        with self._image.open("wb") as image:
            image.truncate(size_mib << 20)
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        subprocess.run(["mkfs.ext4", "-q", "-F", self._image], check=True, env=environment)
        self.mount_point.mkdir()
        if refused := self._mount():
            pytest.skip(f"mounting an ext4 image failed ({refused}): run the tests where loop devices can be made")

    def _mount(self) -> str:
        options = f"loop,commit={COMMIT_EVERY_S}"
        mounted = subprocess.run(
            ["mount", "-o", options, self._image, self.mount_point], check=False, capture_output=True, text=True
        )
        self._mounted = mounted.returncode == 0
        return mounted.stderr.strip()

    def sync(self) -> None:
        """Write everything to the disk."""
        subprocess.run(["sync", "-f", self.mount_point], check=True)

    def cut(self) -> None:
        """Cut the power. Whoever uses the disk gets errors from now on, and must be ended before `recover`."""
        descriptor = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_FLUSH))
        finally:
            os.close(descriptor)

    def recover(self) -> None:
        """Mount what is on the disk after a cut."""
        self._unmount()
        copy = self._image.with_suffix(".copy")
        subprocess.run(["cp", "--sparse=always", self._image, copy], check=True)
        copy.replace(self._image)
        refused = self._mount()
        assert self._mounted, refused

    def close(self) -> None:
        """Unmount it and remove its file."""
        self._unmount()
        with contextlib.suppress(FileNotFoundError):
            self._image.unlink()

    def _unmount(self) -> None:
        if self._mounted:
            subprocess.run(["umount", "-l", self.mount_point], check=True)
            self._mounted = False
