"""Compares an agent's journal with the receiver's list, exposure by exposure.

The receiver's list is read page by page, and the journal is open only while a page is looked up: the agent goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agents.commands.discrepancy import Discrepancy, Named, discrepancies
from agents.commands.receiver_access import pages, registrars_of
from agents.journal.reader import JournalReader

if TYPE_CHECKING:
    from transfer.client import ReceiverClient
    from transfer.wire.protocol import Exposure

_DELETED = "exposure-deleted"
_AT_ONCE = 500
_BY_RECEIVER = "run `cryoferry receiver check` on the receiver; if its database lost them, restore its backup"


@dataclass(frozen=True, slots=True)
class SentCheck:
    """What the receiver has of what an agent has sent.

    Attributes
    ----------
    sent
        Exposures that the journal says are committed or released.
    published
        Those of them that the receiver lists.
    deleted
        Those of them that were deleted on the receiver on purpose.
    """

    sent: int
    published: int
    deleted: int
    found: tuple[Discrepancy, ...]


@dataclass(slots=True)
class _Listed:
    """What the receiver's list shows; `unseen` has the revisions that were sent and that it did not show yet."""

    unseen: dict[int, int]
    older: Named = field(default_factory=Named)
    unknown: Named = field(default_factory=Named)
    not_in_outbox: dict[str, Named] = field(default_factory=dict)


def check_sent(folder: Path, session: str, client: ReceiverClient) -> SentCheck:
    """Compare the journal of a work folder with the receiver's list of a session.

    Raises
    ------
    TransferError, JournalError
    """
    with JournalReader(folder) as journal:
        sent = journal.sent_revisions()
        source, agent = journal.about("source_name") or "", journal.about("agent_id")
    listed, registrars = _Listed(dict(sent)), set(client.session(session).registrars)
    for page in pages(client, session):
        _take_in(page, folder, source, registrars, listed)
    lost, deleted = _lost(folder, session, client, sorted(listed.unseen))
    is_alone = _is_alone(client, session, source, agent)
    found = (*_lost_ones(lost), *_older(listed.older), *_outboxes(listed), *_unknown(listed.unknown, is_alone=is_alone))
    return SentCheck(len(sent), len(sent) - len(listed.unseen), deleted, found)


def _take_in(page: Collection[Exposure], folder: Path, source: str, registrars: set[str], listed: _Listed) -> None:
    with JournalReader(folder) as journal:
        own = journal.of_ids([str(exposure.record.exposure_id) for exposure in page])
    numbers: dict[str, list[int]] = {}
    for row in own:
        numbers.setdefault(row.published_id, []).append(row.number)
    for exposure in page:
        record = exposure.record
        rows = numbers.get(str(record.exposure_id), [])
        sent = [revision for number in rows if (revision := listed.unseen.pop(number, 0))]
        if sent and max(sent) > record.revision:
            listed.older.add(record.movie)
        if rows:
            for name in registrars - registrars_of(exposure).keys():
                listed.not_in_outbox.setdefault(name, Named()).add(record.movie)
        elif source == ((record.provenance and record.provenance.source) or ""):
            listed.unknown.add(record.movie)


def _lost(folder: Path, session: str, client: ReceiverClient, unseen: list[int]) -> tuple[Named, int]:
    """Return which exposures the receiver neither lists nor deleted on purpose, and how many it deleted."""
    lost, deleted = Named(), 0
    if not unseen:
        return lost, deleted
    on_purpose = {event.subject for event in client.events(session) if event.kind == _DELETED}
    for start in range(0, len(unseen), _AT_ONCE):
        with JournalReader(folder) as journal:
            rows = journal.of_numbers(unseen[start : start + _AT_ONCE])
        for row in rows:
            if row.published_id in on_purpose:
                deleted += 1
            else:
                lost.add(row.movie)
    return lost, deleted


def _is_alone(client: ReceiverClient, session: str, source: str, agent: str | None) -> bool:
    """Return whether no other agent of this source has reported to the session."""
    from transfer.wire.errors import NotFound, ProtocolMismatch

    try:
        known = client.agents(session)
    except (NotFound, ProtocolMismatch):  # an older receiver
        return False
    sources = [(str(each.agent), "" if each.status.account is None else each.status.account.source) for each in known]
    return all(name == agent or its_source != source for name, its_source in sources)


# ---- what is told


def _lost_ones(movies: Named) -> Iterator[Discrepancy]:
    return discrepancies(
        "not-at-receiver",
        "{count} exposure was sent, and the receiver does not list it, nor did anybody delete it there",
        "{count} exposures were sent, and the receiver does not list them, nor did anybody delete them there",
        _BY_RECEIVER,
        movies,
    )


def _older(movies: Named) -> Iterator[Discrepancy]:
    return discrepancies(
        "older-at-receiver",
        "{count} exposure was sent in a newer revision than the receiver lists",
        "{count} exposures were sent in a newer revision than the receiver lists",
        _BY_RECEIVER,
        movies,
    )


def _outboxes(listed: _Listed) -> Iterator[Discrepancy]:
    for registrar, movies in sorted(listed.not_in_outbox.items()):
        yield from discrepancies(
            "not-in-outbox",
            f"{{count}} exposure is published, and registrar {registrar} was not told of it",
            f"{{count}} exposures are published, and registrar {registrar} was not told of them",
            "run `cryoferry receiver check --repair` on the receiver",
            movies,
        )


def _unknown(movies: Named, *, is_alone: bool) -> Iterator[Discrepancy]:
    if is_alone:
        what = (
            "the journal has lost them: `cryoferry watch` enters again what still lies in the source, and sends nothing"
            " that the receiver has"
        )
    else:
        what = "other agents of this source have worked in this session: nothing needs to be done"
    return discrepancies(
        "not-known-here",
        "{count} exposure of this source is on the receiver, and the journal does not know it",
        "{count} exposures of this source are on the receiver, and the journal does not know them",
        what,
        movies,
        is_alarm=is_alone,
    )
