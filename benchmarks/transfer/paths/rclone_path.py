"""rclone to its own WebDAV server."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.transfer.paths.contract import Call, Errand, Setting


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

    def prepare(self, setting: Setting) -> Call:
        """Serve the folder."""
        setting.far.run("mkdir", "-p", setting.far_folder)
        words = ["rclone", "serve", "webdav", setting.far_folder, "--config", "/dev/null"]
        return Call([*words, "--addr", f"{setting.far.listens_at}:{setting.port}"])

    def send(self, setting: Setting, errand: Errand) -> Call:
        """Copy the folder."""
        words = ["rclone", "copy", str(errand.folder), f":webdav:{errand.into}", "--config", "/dev/null"]
        words += ["--webdav-url", f"http://{setting.far.address}:{setting.port}", "--webdav-vendor", "other"]
        return Call([*words, "--transfers", f"{self.files_at_once}", "--retries", "1"])

    def arrived_at(self, setting: Setting, errand: Errand) -> str:
        """Return the folder that it writes into."""
        return f"{setting.far_folder}/{errand.into}"
