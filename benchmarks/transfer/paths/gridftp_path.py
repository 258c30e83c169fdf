"""GridFTP, the protocol of Globus: Debian's globus-url-copy and globus-gridftp-server, without credentials."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.transfer.paths.contract import UNPRIVILEGED, Call, Errand, Setting

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

    def prepare(self, setting: Setting) -> Call:
        """Serve anybody, on this one address."""
        setting.far.run("mkdir", "-p", setting.far_folder)
        user = setting.far_user
        if user == "root":  # it takes no anonymous guest for root
            user = UNPRIVILEGED
            setting.far.run("chown", user, setting.far_folder)
        program = setting.far.find("globus-gridftp-server") or "globus-gridftp-server"
        words = [program, "-aa", "-anonymous-user", user, "-p", f"{setting.port}"]
        return Call([*words, "-data-interface", setting.far.address, "-control-interface", setting.far.listens_at])

    def send(self, setting: Setting, errand: Errand) -> Call:
        """Copy the folder."""
        words = ["globus-url-copy", "-fast", "-cd", "-tcp-bs", _BUFFER_BYTES, "-r"]
        words += ["-p", f"{self.streams}"] if self.streams > 1 else []
        words += ["-cc", f"{self.files_at_once}"] if self.files_at_once > 1 else []
        words += ["-verify-checksum"] if self.with_checksum else []
        target = f"ftp://{setting.far.address}:{setting.port}{self.arrived_at(setting, errand)}/"
        return Call([*words, f"file://{errand.folder}/", target])

    def arrived_at(self, setting: Setting, errand: Errand) -> str:
        """Return the folder that it writes into."""
        return f"{setting.far_folder}/{errand.into}"
