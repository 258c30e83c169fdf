"""The states of an exposure on the agent, and which may follow which."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """The state of an exposure."""

    FOUND = "found"  # there is a movie, which may still grow
    FINISHED = "finished"  # the movie no longer grows, and its structure is complete
    ALIGNED = "aligned"  # every output is durable and its digest is in the journal; exactly these bytes are sent
    SENDING = "sending"  # an upload has begun
    COMMITTED = "committed"  # the receiver holds every file and the exposure's record, and gave its receipts
    RELEASED = "released"  # the agent keeps no files for it any more
    HELD = "held"  # a person must decide something first: a setting, the acquisition, the gain reference
    FAILED = "failed"  # it cannot be done: the movie is unreadable, the worker died, the receiver refused a file


TRANSITIONS: dict[State, frozenset[State]] = {
    State.FOUND: frozenset({State.FINISHED, State.FAILED}),
    State.FINISHED: frozenset({State.FOUND, State.ALIGNED, State.RELEASED, State.HELD, State.FAILED}),
    # FOUND: an input came before anything was sent
    State.ALIGNED: frozenset({State.FOUND, State.SENDING, State.RELEASED, State.FAILED}),
    State.SENDING: frozenset({State.COMMITTED, State.RELEASED, State.FAILED}),  # RELEASED: the receiver has it already
    State.COMMITTED: frozenset({State.RELEASED}),
    State.RELEASED: frozenset({State.FOUND}),  # the movie was overwritten, or a user wants other settings
    State.HELD: frozenset({State.FOUND}),
    State.FAILED: frozenset({State.FOUND, State.ALIGNED}),  # ALIGNED: its outputs are there, only sending failed
}

UNFINISHED = frozenset({State.FOUND, State.FINISHED, State.ALIGNED, State.SENDING, State.COMMITTED})
SET_ASIDE = frozenset({State.HELD, State.FAILED})

PAUSED = "paused"
"""The journal's note (`Journal.about`) that exists while the whole agent is paused, and says by what."""
