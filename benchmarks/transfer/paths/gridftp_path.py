"""GridFTP, the protocol of Globus: Debian's globus-url-copy and globus-gridftp-server, without credentials."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.transfer.paths.contract import UNPRIVILEGED, Call, Job, PathSetup

_BUFFER_BYTES = "4194304"


@dataclass(frozen=True, slots=True)
class GridFtp:
    """GridFTP with parallel streams in a file or several files at once."""

    streams: int = 1
    files_at_once: int = 1
    with_checksum: bool = False
    near_programs: tuple[str, ...] = ("globus-url-copy",)
    far_programs: tuple[str, ...] = ("globus-gridftp-server",)
    how_to_get: str = "Debian and Ubuntu: apt-get install globus-gass-copy-progs globus-gridftp-server-progs"
    needs_open_server: bool = True

    @property
    def name(self) -> str:
        """As the tables show it."""
        shape = f"-p {self.streams}" if self.streams > 1 else f"-cc {self.files_at_once}"
        return f"GridFTP {shape}{' -verify' if self.with_checksum else ''}"

    @property
    def verifies(self) -> str:
        """What it asks the server for, otherwise nothing."""
        return "MD5" if self.with_checksum else ""

    def prepare(self, setup: PathSetup) -> Call:
        """Serve anybody, on this one address."""
        setup.far.run("mkdir", "-p", setup.far_folder)
        user = setup.far_user
        if user == "root":  # it takes no anonymous guest for root
            user = UNPRIVILEGED
            setup.far.run("chown", user, setup.far_folder)
        program = setup.far.find("globus-gridftp-server") or "globus-gridftp-server"
        words = [program, "-aa", "-anonymous-user", user, "-p", f"{setup.port}"]
        return Call([*words, "-data-interface", setup.far.address, "-control-interface", setup.far.listens_at])

    def send(self, setup: PathSetup, job: Job) -> Call:
        """Copy the folder."""
        words = ["globus-url-copy", "-fast", "-cd", "-tcp-bs", _BUFFER_BYTES, "-r"]
        words += ["-p", f"{self.streams}"] if self.streams > 1 else []
        words += ["-cc", f"{self.files_at_once}"] if self.files_at_once > 1 else []
        words += ["-verify-checksum"] if self.with_checksum else []
        target = f"ftp://{setup.far.address}:{setup.port}{self.arrived_at(setup, job)}/"
        return Call([*words, f"file://{job.folder}/", target])

    def arrived_at(self, setup: PathSetup, job: Job) -> str:
        """Return the folder that it writes into."""
        return f"{setup.far_folder}/{job.into}"
