"""The settings that an agent gets at its start."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from preprocess.exposure.chosen import ChosenAlignment
from preprocess.layouts import Layout
from transfer.pace.pacer import Pacer
from transfer.wire.agent_status import LeaseWish


class Order(StrEnum):
    """Which of the exposures that wait for a step comes first: the option --order."""

    NEWEST = "newest"  # people decide by the newest micrographs; a backlog is worked off behind them
    OLDEST = "oldest"
    ALTERNATE = "alternate"  # the newest and the oldest in turn


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """All settings of an agent.

    Attributes
    ----------
    source, work
        The microscope's folder, which is only read, and the agent's own folder.
    follow_links
        Whether to follow links whose target lies outside of the source, too.
    chosen
        How to align.
    settle_s, give_up_s
        How long a movie must be unchanged to be finished, and to have failed when it is not complete, in seconds.
    input_wait_s
        How long a finished movie waits for an input that is expected, in seconds.
    gain_wait_s
        How long it waits for a gain reference that its counts need, in seconds.
    scan_s
        Time between two scans of the source, in seconds.
    share_timeout_s
        A source that does not answer for so many seconds hangs.
    align_timeout_s
        Longest time of one alignment, in seconds.
    keep_outputs
        Whether results stay in the work folder after the receiver has them.
    work_reserve_bytes
        Nothing is aligned while the work folder's disk has less space than this.
    connections
        How many requests send chunks at once; None: decided from the link.
    may_compress, may_use_bbr, pacer
        See `transfer.upload.sender.Sender`.
    background
        Patterns of the names of files that are sent after all others.
    source_name
        Tells sources of one session apart; paths of movies are unique within it.
    lease_wish
        Whether the agent works alone, beside others, or takes over from the one that works.
    order
        Which of the movies that wait is aligned and sent first.
    exit_when_idle_s
        The agent ends when nothing was left to do for so many seconds; None: it never ends by itself.
    """

    source: Path
    work: Path
    session: str
    layout: Layout
    chosen: ChosenAlignment
    follow_links: bool = False
    settle_s: float = 30.0
    give_up_s: float = 600.0
    input_wait_s: float = 30.0
    gain_wait_s: float = 900.0
    scan_s: float = 5.0
    share_timeout_s: float = 30.0
    align_timeout_s: float = 1800.0
    keep_outputs: bool = False
    work_reserve_bytes: int = 1 << 30
    connections: int | None = None
    may_compress: bool = True
    may_use_bbr: bool = True
    pacer: Pacer | None = None
    background: tuple[str, ...] = ()
    source_name: str = ""
    lease_wish: LeaseWish = LeaseWish.SINGLE
    order: Order = Order.NEWEST
    exit_when_idle_s: float | None = None
