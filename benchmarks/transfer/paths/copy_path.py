"""cp: the floor on one machine, without a network."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.transfer.paths.contract import Call, Job, PathSetup


@dataclass(frozen=True, slots=True)
class Copy:
    """cp, where both ends are this machine without a link between them."""

    name: str = "cp (no network)"
    near_programs: tuple[str, ...] = ("cp",)
    far_programs: tuple[str, ...] = ()
    how_to_get: str = "every system has it"
    verifies: str = ""
    needs_open_server: bool = False

    def prepare(self, _setting: PathSetup) -> None:
        """Need nothing."""

    def send(self, setup: PathSetup, job: Job) -> Call:
        """Copy the folder."""
        setup.far.run("mkdir", "-p", self.arrived_at(setup, job))
        return Call(["cp", "-r", f"{job.folder}/.", self.arrived_at(setup, job)])

    def arrived_at(self, setup: PathSetup, job: Job) -> str:
        """Return the folder that it writes into."""
        return f"{setup.far_folder}/{job.into}"
