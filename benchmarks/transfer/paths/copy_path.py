"""cp: the floor on one machine, without a network."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.transfer.paths.contract import Call, Errand, Setting


@dataclass(frozen=True, slots=True)
class Copy:
    """cp, where both ends are this machine without a link between them."""

    name: str = "cp (no network)"
    near_programs: tuple[str, ...] = ("cp",)
    far_programs: tuple[str, ...] = ()
    how_to_get: str = "every system has it"
    verifies: str = ""
    needs_open_server: bool = False

    def prepare(self, _setting: Setting) -> None:
        """Need nothing."""

    def send(self, setting: Setting, errand: Errand) -> Call:
        """Copy the folder."""
        setting.far.run("mkdir", "-p", self.arrived_at(setting, errand))
        return Call(["cp", "-r", f"{errand.folder}/.", self.arrived_at(setting, errand)])

    def arrived_at(self, setting: Setting, errand: Errand) -> str:
        """Return the folder that it writes into."""
        return f"{setting.far_folder}/{errand.into}"
