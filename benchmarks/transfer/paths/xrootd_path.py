"""XRootD: xrdcp to an xrootd server."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.transfer.paths.contract import UNPRIVILEGED, Call, Job, PathSetup


@dataclass(frozen=True, slots=True)
class Xrootd:
    """xrdcp with several streams a file and several files at once."""

    streams: int = 15
    files_at_once: int = 4
    near_programs: tuple[str, ...] = ("xrdcp",)
    far_programs: tuple[str, ...] = ("xrootd",)
    how_to_get: str = "Debian and Ubuntu: apt-get install xrootd-client xrootd-server"
    verifies: str = ""
    needs_open_server: bool = True

    @property
    def name(self) -> str:
        """As the tables show it."""
        return f"xrdcp -S {self.streams}, {self.files_at_once} at once"

    def prepare(self, setup: PathSetup) -> Call:
        """Write the server's configuration."""
        far, folder = setup.far, setup.far_folder
        far.run("mkdir", "-p", f"{folder}/files", f"{folder}/admin")
        lines = ["all.export /", f"oss.localroot {folder}/files", f"xrd.port {setup.port}", "xrd.protocol xrootd *"]
        lines += [f"all.adminpath {folder}/admin", f"all.pidpath {folder}/admin"]
        far.write(f"{folder}/xrootd.conf", "\n".join(lines) + "\n", mode="644")
        as_other = []
        if setup.far_user == "root":
            far.run("chown", "-R", UNPRIVILEGED, folder)
            as_other = ["-R", UNPRIVILEGED]
        return Call([far.find("xrootd") or "xrootd", *as_other, "-c", f"{folder}/xrootd.conf"])

    def send(self, setup: PathSetup, job: Job) -> Call:
        """Copy the files."""
        words = ["xrdcp", "--nopbar", "--streams", f"{self.streams}", "--parallel", f"{self.files_at_once}", "--force"]
        target = f"root://{setup.far.address}:{setup.port}//{job.into}/"
        return Call([*words, "--path", *job.sources, target])

    def arrived_at(self, setup: PathSetup, job: Job) -> str:
        """Return the folder that it writes into."""
        return f"{setup.far_folder}/files/{job.into}"
