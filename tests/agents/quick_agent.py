"""The command, with the agent's own pauses of a second or less: tests wait for each of them."""

from __future__ import annotations

from functools import partial

from agents import daemon, scanning, turns, work_health
from agents.sending import claims, receiver_comparison, receiver_link
from agents.share import recovery
from cryoferry import main

daemon.StatusReport = partial(daemon.StatusReport, every_s=0.3)  # type: ignore[misc, assignment]
scanning._SHORTEST_PAUSE_S = 0.1
turns.POSTPONE_S = 0.5
work_health._LONGEST_PAUSE_S = 1.0
work_health._PLACE_S = 0.3
claims._UNREACHED_PAUSE_S = 1.0
receiver_comparison._RETRY_S = 1.0
receiver_link._LONGEST_WAIT_S = 1.0
recovery.PROBE_S = 0.3

if __name__ == "__main__":
    main()
