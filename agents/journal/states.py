"""The states of an exposure on the agent, and which may follow which."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where an exposure stands."""

    FOUND = "found"  # a movie lies there, perhaps still growing
    SETTLED = "settled"  # it is finished: unchanged for the settle time, and whole
    ALIGNED = "aligned"  # every output fsynced, its digest journalled; these bytes are sent, never made again
    SENDING = "sending"
    COMMITTED = "committed"  # the receiver holds every file and the exposure's record, and gave its receipts
    RELEASED = "released"  # nothing is kept for it any more
    REJECTED = "rejected"  # held back until somebody decides: a setting, an acquisition, a gain reference
    FAILED = "failed"  # it cannot be done: an unreadable movie, a dead worker, a refusing receiver


TRANSITIONS: dict[State, frozenset[State]] = {
    State.FOUND: frozenset({State.SETTLED, State.FAILED}),
    State.SETTLED: frozenset({State.FOUND, State.ALIGNED, State.REJECTED, State.FAILED}),
    State.ALIGNED: frozenset({State.SENDING, State.FAILED}),
    State.SENDING: frozenset({State.COMMITTED, State.FAILED}),
    State.COMMITTED: frozenset({State.RELEASED}),
    State.RELEASED: frozenset({State.FOUND}),  # the movie was overwritten, or somebody wants other settings
    State.REJECTED: frozenset({State.FOUND}),
    State.FAILED: frozenset({State.FOUND, State.ALIGNED}),  # ALIGNED: its outputs are there, only sending failed
}

UNFINISHED = frozenset({State.FOUND, State.SETTLED, State.ALIGNED, State.SENDING, State.COMMITTED})
SET_ASIDE = frozenset({State.REJECTED, State.FAILED})
