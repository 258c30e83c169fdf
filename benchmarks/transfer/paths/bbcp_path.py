"""bbcp (Andrew Hanushevsky, SLAC): parallel TCP streams in one file, started over ssh or by hand."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from benchmarks.transfer.paths.contract import Call, Errand, Setting


@dataclass(frozen=True, slots=True)
class Bbcp:
    """bbcp with some number of streams; `with_md5` (its -e) checks every file from end to end."""

    streams: int
    with_md5: bool = False
    near_programs: tuple[str, ...] = ("bbcp",)
    far_programs: tuple[str, ...] = ("bbcp",)
    how_to_get: str = "no distribution packages it: build github.com/eeertekin/bbcp and put it on both ends' PATH"
    needs_open_server: bool = False

    @property
    def name(self) -> str:
        """As the tables show it."""
        return f"bbcp -s {self.streams}{' -e' if self.with_md5 else ''}"

    @property
    def verifies(self) -> str:
        """MD5 with -e, otherwise nothing."""
        return "MD5" if self.with_md5 else ""

    def prepare(self, _setting: Setting) -> None:
        """Need nothing: it starts its own other end."""

    def send(self, setting: Setting, errand: Errand) -> Call:
        """Start both ends by hand where no ssh lies between them."""
        setting.far.run("mkdir", "-p", self.arrived_at(setting, errand))
        words = ["bbcp", "-f", "-s", f"{self.streams}", *(["-e"] if self.with_md5 else [])]
        if setting.far.is_remote:
            target = setting.far.prefix[-1]
        else:
            words += ["-S", "bbcp", "-T", shlex.join([*setting.far.prefix, "bbcp"])]
            target = f"{setting.far_user}@{setting.far.address}"
        return Call([*words, *errand.sources, f"{target}:{self.arrived_at(setting, errand)}/"])

    def arrived_at(self, setting: Setting, errand: Errand) -> str:
        """Return the folder that it writes into."""
        return f"{setting.far_folder}/{errand.into}"
