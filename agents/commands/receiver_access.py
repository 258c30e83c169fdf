"""How `cryoferry status` asks a receiver: where it is, by which token, and what it says about exposures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from preprocess.escaped_names import unescaped

if TYPE_CHECKING:
    from uuid import UUID

    from transfer.client import ReceiverClient
    from transfer.wire.protocol import Exposure

TIMEOUT_S = 5.0
MOST_SINGLE_REQUESTS = 200
"""The receiver is asked about this many exposures one by one; about more, it is asked for its list."""

_AT_ONCE = 8

Registrars = dict[str, str]
"""The state of an exposure with each registrar."""


class Notes(Protocol):
    """What an agent noted in its journal."""

    def about(self, key: str) -> str | None:
        """Return what was noted under that key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverAccess:
    """Where the receiver is, and how it is reached; an empty `url`: no receiver is known."""

    url: str
    token_file: Path | None = None
    ca: Path | None = None
    clear_text: bool = False

    def or_noted(self, notes: Notes) -> ReceiverAccess:
        """Return this access, with what the agent noted where the user gave nothing."""
        token_file, ca = notes.about("token_file"), notes.about("ca")
        return replace(
            self,
            url=self.url or notes.about("url") or "",
            token_file=self.token_file or (Path(unescaped(token_file)) if token_file else None),
            ca=self.ca or (Path(unescaped(ca)) if ca else None),
            clear_text=self.clear_text or (not self.url and notes.about("clear_text") is not None),
        )

    def is_noted(self, notes: Notes) -> bool:
        """Return whether the agent sends to this receiver."""
        return (notes.about("url") or "").rstrip("/") == self.url.rstrip("/")

    @contextmanager
    def client(self) -> Iterator[ReceiverClient]:
        """Yield a client with a short timeout.

        Raises
        ------
        TransferError
        """
        from transfer.client import ReceiverClient
        from transfer.credentials import read_token

        token = read_token(self.token_file)
        with ReceiverClient(self.url, token, ca=self.ca, clear_text=self.clear_text, timeout_s=TIMEOUT_S) as client:
            yield client


def registrars_of(exposure: Exposure) -> Registrars:
    """Return the state of a published exposure with each registrar."""
    return {entry.registrar: entry.state.value for entry in exposure.registrations}


def pages(client: ReceiverClient, session: str) -> Iterator[tuple[Exposure, ...]]:
    """Yield the published exposures of a session page by page, in the order of their publication.

    Raises
    ------
    TransferError
    """
    return client.exposure_pages(session)


def read_registrations(
    client: ReceiverClient, session: str, wanted: Iterable[tuple[UUID, int]]
) -> dict[tuple[UUID, int], Registrars]:
    """Return what is registered of some exposures, by exposure id and revision; what is not published is left out.

    Raises
    ------
    TransferError
    """
    missing = set(wanted)
    found: dict[tuple[UUID, int], Registrars] = {}

    def note(exposure: Exposure | None) -> None:
        if exposure is not None:
            key = (exposure.record.exposure_id, exposure.record.revision)
            if key in missing:
                missing.discard(key)
                found[key] = registrars_of(exposure)

    if len(missing) <= MOST_SINGLE_REQUESTS:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            ids = [exposure_id for exposure_id, _ in missing]
            for exposure in list(threads.map(lambda exposure_id: client.exposure(session, exposure_id), ids)):
                note(exposure)
        return found
    for page in pages(client, session):
        for exposure in page:
            note(exposure)
        if not missing:
            break
    return found
