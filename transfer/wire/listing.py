"""Checks the pages of a list: a list must end, and the files in it must be those of one session.

The names come from another machine, and files are written and deleted by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from transfer.wire.errors import BadName, ProtocolMismatch
from transfer.wire.names import check_committed_path
from transfer.wire.protocol import ListedFile

MOST_ENTRIES = 4_000_000
"""Of one list: one that is longer is taken for one without an end."""
MOST_BYTES = 512 << 20
"""Of one list of files, on all its pages: more than a million files."""
MOST_SESSION_BYTES = 16 << 20
"""Of the list of sessions, on all its pages: more than 40,000 sessions."""
LONGEST_SHOWN = 200
_HINT = (
    "The list is not used, and nothing was written. Look at the receiver: its software, or its database, is damaged."
)


class Pages:
    """The cursors of one list, from page to page.

    Parameters
    ----------
    what
        What is listed, for messages.
    most_bytes
        How many bytes all pages may have: the entries are kept.
    """

    def __init__(self, what: str, most_bytes: int = MOST_BYTES) -> None:
        self._what, self._left_bytes = what, most_bytes
        self._cursors: set[str] = set()
        self._entries = 0

    def follow(self, cursor: str | None, new_entries: int, size_bytes: int = 0) -> str | None:
        """Return the cursor of the next page; None if there is none.

        Parameters
        ----------
        cursor
            The `next` of a page.
        new_entries
            How many entries the page had that no page before it had.
        size_bytes
            How many bytes the page had.

        Raises
        ------
        ProtocolMismatch
            The list would never end.
        """
        self._entries += new_entries
        self._left_bytes -= size_bytes
        if cursor is None:
            return None
        if cursor in self._cursors or not new_entries:
            raise ProtocolMismatch(f"{self._what}: the receiver goes on at {_shown(cursor)} without an end", hint=_HINT)
        if self._entries > MOST_ENTRIES:
            raise ProtocolMismatch(f"{self._what}: the receiver lists more than {MOST_ENTRIES:,} entries", hint=_HINT)
        if self._left_bytes < 0:
            raise ProtocolMismatch(f"{self._what}: the receiver lists more than such a list has", hint=_HINT)
        self._cursors.add(cursor)
        return cursor


class SessionListing:
    """The files that a receiver lists for a session."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._seen: dict[str, tuple[int, int, str]] = {}

    def accepted(self, files: Iterable[ListedFile]) -> Iterator[ListedFile]:
        """Yield the files of a page that were not on an earlier one.

        Raises
        ------
        ProtocolMismatch
            A file is of another session, its path could lead out of a folder, or it is listed twice and not the same.
        """
        for file in files:
            named = f"the receiver lists {_shown(file.path)} for session {self._session}"
            if file.session != self._session:
                raise ProtocolMismatch(f"{named}, which is of session {_shown(file.session)}", hint=_HINT)
            try:
                check_committed_path(file.path)
            except BadName as error:
                raise ProtocolMismatch(f"{named}: {_cut(error.detail)}", hint=_HINT) from error
            content = file.revision, file.size_bytes, file.digest
            before = self._seen.setdefault(file.path, content)
            if before is content:
                yield file
            elif before != content:
                raise ProtocolMismatch(
                    f"{named} twice: with {before[1]:,} bytes as revision {before[0]}, and with"
                    f" {file.size_bytes:,} bytes as revision {file.revision}",
                    hint=_HINT,
                )


def _shown(text: str) -> str:
    return _cut(repr(text))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
