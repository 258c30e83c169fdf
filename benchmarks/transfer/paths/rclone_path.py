"""rclone to its own WebDAV server."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.transfer.paths.contract import Call, Job, PathSetup


@dataclass(frozen=True, slots=True)
class Rclone:
    """rclone, some files at once."""

    files_at_once: int = 4
    near_programs: tuple[str, ...] = ("rclone",)
    far_programs: tuple[str, ...] = ("rclone",)
    how_to_get: str = "Debian and Ubuntu: apt-get install rclone"
    verifies: str = ""
    needs_open_server: bool = True

    @property
    def name(self) -> str:
        """As the tables show it."""
        return f"rclone WebDAV, {self.files_at_once} at once"

    def prepare(self, setup: PathSetup) -> Call:
        """Serve the folder."""
        setup.far.run("mkdir", "-p", setup.far_folder)
        words = ["rclone", "serve", "webdav", setup.far_folder, "--config", "/dev/null"]
        return Call([*words, "--addr", f"{setup.far.listens_at}:{setup.port}"])

    def send(self, setup: PathSetup, job: Job) -> Call:
        """Copy the folder."""
        words = ["rclone", "copy", str(job.folder), f":webdav:{job.into}", "--config", "/dev/null"]
        words += ["--webdav-url", f"http://{setup.far.address}:{setup.port}", "--webdav-vendor", "other"]
        return Call([*words, "--transfers", f"{self.files_at_once}", "--retries", "1"])

    def arrived_at(self, setup: PathSetup, job: Job) -> str:
        """Return the folder that it writes into."""
        return f"{setup.far_folder}/{job.into}"
