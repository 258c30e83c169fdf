"""bbcp (Andrew Hanushevsky, SLAC): parallel TCP streams in one file, started over ssh or by hand."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from benchmarks.transfer.paths.contract import Call, Job, PathSetup


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

    def prepare(self, _setting: PathSetup) -> None:
        """Need nothing: it starts its own other end."""

    def send(self, setup: PathSetup, job: Job) -> Call:
        """Start both ends by hand where no ssh lies between them."""
        setup.far.run("mkdir", "-p", self.arrived_at(setup, job))
        words = ["bbcp", "-f", "-s", f"{self.streams}", *(["-e"] if self.with_md5 else [])]
        if setup.far.is_remote:
            target = setup.far.prefix[-1]
        else:
            words += ["-S", "bbcp", "-T", shlex.join([*setup.far.prefix, "bbcp"])]
            target = f"{setup.far_user}@{setup.far.address}"
        return Call([*words, *job.sources, f"{target}:{self.arrived_at(setup, job)}/"])

    def arrived_at(self, setup: PathSetup, job: Job) -> str:
        """Return the folder that it writes into."""
        return f"{setup.far_folder}/{job.into}"
