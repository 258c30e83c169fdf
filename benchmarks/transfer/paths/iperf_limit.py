"""iperf3: what TCP gets over the link without any file, the limit that paths are held against."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass

from benchmarks.errors import ResultUnreadable
from benchmarks.transfer.paths.contract import Call, PathSetup

PROGRAM = "iperf3"
HOW_TO_GET = "Debian and Ubuntu: apt-get install iperf3"
_STREAMS = 8


@dataclass(frozen=True, slots=True)
class Limit:
    """iperf3 with some seconds of eight streams; the first second and the last are left out."""

    seconds: int = 8

    def server(self, setup: PathSetup) -> Call:
        """Return the server's command."""
        return Call([PROGRAM, "-s", "-B", setup.far.listens_at, "-p", f"{setup.port}"])

    def client(self, setup: PathSetup) -> Call:
        """Return the client's command."""
        words = [PROGRAM, "-c", setup.far.address, "-p", f"{setup.port}", "-P", f"{_STREAMS}"]
        return Call([*words, "-t", f"{self.seconds}", "-J"])

    def rate_bytes_per_s(self, stdout: str) -> float:
        """Return the mean rate between the second and the last second but one, from what the client printed.

        Raises
        ------
        ResultUnreadable
        """
        try:
            intervals = [one["sum"]["bits_per_second"] / 8 for one in json.loads(stdout)["intervals"]]
            return statistics.fmean(intervals[1:-1])
        except (ValueError, LookupError, TypeError, statistics.StatisticsError) as error:
            raise ResultUnreadable(f"iperf3's output cannot be read: {stdout[:200]!r}: {error!r}") from error
