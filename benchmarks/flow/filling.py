"""Brings a session to a number of exposures: the agent's journal, the source, the receiver and its registrars."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from api.registrars.settings import RegistrarSettings
from benchmarks.flow.filled_journal import FilledSession, fill_journal
from benchmarks.flow.filled_receiver import FilledReceiver, make_sparse
from benchmarks.flow.place import SESSION, FlowPlace
from benchmarks.flow.unsynced import unsynced
from transfer.wire.exposure_record import ExposureRecord

PER_TRANSACTION, TELL_EVERY = 1000, 5000


def filled_session(exposure_count: int) -> FilledSession:
    """Return a session in which every exposure is released and registered."""
    return FilledSession(exposure_count=exposure_count, failed_every=0, held_every=0, waiting_count=0, session=SESSION)


def sidecar_of(movie: Path) -> Path:
    """Return the path of the XML file that EPU writes beside a movie."""
    return movie.with_name(f"{movie.stem.removesuffix('_fractions')}.xml")


def fill(place: FlowPlace, first: int, last: int, tell: Callable[[str], None]) -> dict[str, float]:
    """Enter the exposures of these numbers everywhere; return how many seconds each part took.

    Agent and receiver must not run meanwhile.
    """
    began_s = time.monotonic()
    registrars = RegistrarSettings(scipion=str(place.scipion) if place.scipion else None, relion=place.relion)
    waiting: list[ExposureRecord] = []
    with (
        unsynced(),
        FilledReceiver.opened(place.receiver, place.database, registrars, SESSION) as receiver,
    ):
        done = 0

        def publish(record: ExposureRecord) -> None:
            make_sparse(sidecar_of(place.source / record.movie), 0)
            waiting.append(record)
            if len(waiting) == PER_TRANSACTION:
                pass_on()

        def pass_on() -> None:
            nonlocal done
            receiver.add(waiting)
            done += len(waiting)
            waiting.clear()
            if done % TELL_EVERY == 0 or first - 1 + done == last:
                tell(f"{first - 1 + done:,} exposures after {time.monotonic() - began_s:.0f} s")

        fill_journal(
            place.agent,
            filled_session(last),
            source=place.source,
            publish=publish,
            per_transaction=PER_TRANSACTION,
            first=first,
        )
        if waiting:
            pass_on()
        receiver.finish()
    whole_s = time.monotonic() - began_s
    return {**receiver.seconds, "journal and rest": whole_s - sum(receiver.seconds.values()), "all": whole_s}
