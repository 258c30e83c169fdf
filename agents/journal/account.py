"""Counts where the exposures of a journal are: `transfer.wire.accounting`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from agents.journal.states import State
from transfer.wire.accounting import AgentAccount, InHands

_IS_SENT = f"(state IN ('{State.COMMITTED}', '{State.RELEASED}') OR revision > 1)"
_IS_AGAIN = f"(state NOT IN ('{State.COMMITTED}', '{State.RELEASED}') AND revision > 1)"
_IS_SET_ASIDE = f"(state IN ('{State.HELD}', '{State.FAILED}'))"
_KNOWN = f"""
SELECT sum(is_sent), sum(is_sent AND is_again),
       sum(NOT is_sent AND NOT is_set_aside), sum(NOT is_sent AND is_set_aside AND is_held),
       sum(NOT is_sent AND is_set_aside AND NOT is_held), sum(movies - 1)
FROM (
    SELECT max({_IS_SENT}) AS is_sent, max({_IS_AGAIN}) AS is_again, min({_IS_SET_ASIDE}) AS is_set_aside,
           max(state = '{State.HELD}') AS is_held, count(*) AS movies
    FROM exposures WHERE receiver_exposure_id IS NOT NULL GROUP BY receiver_exposure_id
)
"""  # noqa: S608  # our own names
"""Exposures by the receiver's ids: several movies can be one. It reads an index alone, in its order."""
_UNKNOWN = f"""
SELECT coalesce(sum({_IS_SENT}), 0), coalesce(sum({_IS_AGAIN}), 0),
       coalesce(sum(NOT {_IS_SENT} AND NOT {_IS_SET_ASIDE}), 0),
       coalesce(sum(NOT {_IS_SENT} AND state = '{State.HELD}'), 0),
       coalesce(sum(NOT {_IS_SENT} AND state = '{State.FAILED}'), 0), 0
FROM exposures WHERE receiver_exposure_id IS NULL
"""  # noqa: S608  # our own names


def account_of_journal(
    db: sqlite3.Connection,
    source: str,
    *,
    are_claimed: bool = True,
    named: Callable[[str], str] = lambda query: query,
) -> AgentAccount:
    """Return where the exposures are that an agent has seen, in one transaction of the journal.

    Parameters
    ----------
    source
        The option --source.
    are_claimed
        The journal has the receiver's ids; a journal of an older version has not.
    named
        Returns a query with the names that the journal's version has for the states.
    """
    unknown = _UNKNOWN if are_claimed else _UNKNOWN.partition("WHERE")[0]
    sent, again, *unclaimed, _ = (int(value) for value in db.execute(named(unknown)).fetchone())
    known = db.execute(_KNOWN).fetchone() if are_claimed else [0] * 6
    known_sent, known_again, *claimed, copies = (int(value or 0) for value in known)
    account = AgentAccount(
        source=source,
        sent=sent + known_sent,
        again=again + known_again,
        claimed=_in_hands(claimed),
        unclaimed=_in_hands(unclaimed),
        copies=copies,
    )
    return account.model_copy(update={"alarms": tuple(_alarms(db, account))})


def _in_hands(counts: list[int]) -> InHands:
    waiting, held, failed = counts
    return InHands(waiting=waiting, held=held, failed=failed)


def _alarms(db: sqlite3.Connection, account: AgentAccount) -> list[str]:
    """Return where the journal's counters contradict its rows."""
    counters = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'state_counts'").fetchone()
    if counters is None:
        return []
    counted = int(db.execute("SELECT coalesce(sum(count), 0) FROM state_counts").fetchone()[0])
    rows = account.seen + account.copies
    return (
        [f"it counts {counted:,} movies and has rows of {rows:,}: the database is damaged"] if counted != rows else []
    )
