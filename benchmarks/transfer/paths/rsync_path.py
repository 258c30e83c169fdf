"""rsync to its own daemon."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.transfer.paths.contract import Call, Job, PathSetup


@dataclass(frozen=True, slots=True)
class RsyncDaemon:
    """rsync, whole files, to a daemon: its fastest form. It checks what it wrote by its own running checksum."""

    name: str = "rsync daemon"
    near_programs: tuple[str, ...] = ("rsync",)
    far_programs: tuple[str, ...] = ("rsync",)
    how_to_get: str = "Debian and Ubuntu: apt-get install rsync"
    verifies: str = "its own"
    needs_open_server: bool = True

    def prepare(self, setup: PathSetup) -> Call:
        """Write the daemon's configuration: one module, writable."""
        setup.far.run("mkdir", "-p", setup.far_folder)
        lines = ["use chroot = no", "[bench]", f"path = {setup.far_folder}", "read only = no"]
        if setup.far_user == "root":
            lines += ["uid = root", "gid = root"]
        configuration = f"{setup.far_folder}.conf"
        setup.far.write(configuration, "\n".join(lines) + "\n")
        words = ["rsync", "--daemon", "--no-detach", f"--config={configuration}", "--address", setup.far.listens_at]
        return Call([*words, "--port", f"{setup.port}"])

    def send(self, setup: PathSetup, job: Job) -> Call:
        """Copy the folder."""
        target = f"rsync://{setup.far.address}:{setup.port}/bench/{job.into}/"
        return Call(["rsync", "-rW", f"{job.folder}/", target])

    def arrived_at(self, setup: PathSetup, job: Job) -> str:
        """Return the folder that it writes into."""
        return f"{setup.far_folder}/{job.into}"
