"""rsync to its own daemon."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.transfer.paths.contract import Call, Errand, Setting


@dataclass(frozen=True, slots=True)
class RsyncDaemon:
    """rsync, whole files, to a daemon: its fastest form. It checks what it wrote by its own running checksum."""

    name: str = "rsync daemon"
    near_programs: tuple[str, ...] = ("rsync",)
    far_programs: tuple[str, ...] = ("rsync",)
    how_to_get: str = "Debian and Ubuntu: apt-get install rsync"
    verifies: str = "its own"
    needs_open_server: bool = True

    def prepare(self, setting: Setting) -> Call:
        """Write the daemon's configuration: one module, writable."""
        setting.far.run("mkdir", "-p", setting.far_folder)
        lines = ["use chroot = no", "[bench]", f"path = {setting.far_folder}", "read only = no"]
        if setting.far_user == "root":
            lines += ["uid = root", "gid = root"]
        configuration = f"{setting.far_folder}.conf"
        setting.far.write(configuration, "\n".join(lines) + "\n")
        words = ["rsync", "--daemon", "--no-detach", f"--config={configuration}", "--address", setting.far.listens_at]
        return Call([*words, "--port", f"{setting.port}"])

    def send(self, setting: Setting, errand: Errand) -> Call:
        """Copy the folder."""
        target = f"rsync://{setting.far.address}:{setting.port}/bench/{errand.into}/"
        return Call(["rsync", "-rW", f"{errand.folder}/", target])

    def arrived_at(self, setting: Setting, errand: Errand) -> str:
        """Return the folder that it writes into."""
        return f"{setting.far_folder}/{errand.into}"
