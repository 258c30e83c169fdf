"""What `cryoferry session end` notices before it ends a session: exposures that are unfinished, and that are gone.

It compares the last report of each agent with what the receiver has published. Nothing is hindered: an ended session
accepts late exposures, and can be reopened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from transfer.client import ReceiverClient
from transfer.wire.accounting import AGENTS
from transfer.wire.agent_status import KnownAgent
from transfer.wire.errors import TransferError
from transfer.wire.protocol import Session

MISMATCH = 6  # exit code
_ON_THEIR_WAY = ("found", "finished", "aligned", "sending")
_WAITING = ("held", "failed")
_SENT = ("committed", "released")


@dataclass(frozen=True, slots=True)
class Notice:
    """A remark about a session; `is_loss`: exposures that an agent has sent are not there."""

    text: str
    is_loss: bool = False


def notices(client: ReceiverClient, session: str) -> Iterator[Notice]:
    """Yield what a person should know who ends a session.

    The reports are read before the exposures are counted, so that what is published meanwhile does not look lost.
    """
    try:
        agents = client.agents(session)
    except TransferError as error:  # an older receiver knows no agents
        yield Notice(f"the receiver does not say how far its agents are ({error}); what is missing was not noticed")
        return
    shown = client.session(session)
    for agent in agents:
        yield from _of_agent(agent, shown)


def _of_agent(agent: KnownAgent, session: Session) -> Iterator[Notice]:
    counts, own, account = agent.status.counts, agent.status.account, session.account
    published = session.exposure_count
    who = f"the agent on {agent.status.host}"
    when = f"its last report is of {agent.reported_at:%Y-%m-%d %H:%M:%S} UTC"
    known = None if own is None else account  # it says whether another agent did since what this one left
    unfinished = _listed(counts, _ON_THEIR_WAY)
    if unfinished and (known is None or known.waiting_for.get(AGENTS, 0)):
        yield Notice(f"{who} has unfinished exposures: {unfinished} ({when}). The receiver accepts them later too")
    waiting = _listed(counts, _WAITING)
    if waiting and (known is None or known.held or known.failed):
        yield Notice(f"{who} has exposures that need a person: {waiting} ({when}). `cryoferry status` names them")
    sent = sum(counts.get(state, 0) for state in _SENT) - agent.status.released_unsent_count
    if own is not None and account is not None:  # movies under two paths are one exposure, deleted ones are not lost
        sent = own.sent - account.deleted
    if sent > published:
        yield Notice(
            f"{who} has sent {sent} exposures, but the receiver has {published}: {sent - published} may be lost "
            f"({when}). Keep the movies and the agent's work folder, and start the agent again: it compares, and sends "
            f"what is missing{'' if known else '. Exposures that were deleted on purpose make such a difference too'}",
            is_loss=True,
        )


def _listed(counts: dict[str, int], states: tuple[str, ...]) -> str:
    return ", ".join(f"{counts[state]} {state}" for state in states if counts.get(state, 0) > 0)
