"""The headers that every request of a client has, its token included."""

from __future__ import annotations

from collections.abc import Mapping

from transfer.credentials import TokenSource, check_token
from transfer.wire.errors import AuthRejected, TokenReplaced, TransferError


class Authorization:
    """The headers of a client's requests; the token is the one that its file holds at that time.

    Parameters
    ----------
    headers
        The other headers.
    token
        The token, or where it is read; None: requests have none.

    Raises
    ------
    AuthRejected
        The token has characters that no token has.
    """

    def __init__(self, headers: Mapping[str, str], token: str | TokenSource | None) -> None:
        self._headers = dict(headers)
        self._source = token if isinstance(token, TokenSource) else None
        self._token = check_token(token) if isinstance(token, str) else None

    def headers(self) -> dict[str, str]:
        """Return the headers of the next request."""
        token = self._source.current() if self._source else self._token
        return self._headers if token is None else {**self._headers, "Authorization": f"Bearer {token}"}

    def judged(self, error: TransferError, sent: Mapping[str, str]) -> TransferError:
        """Return an error as it is to be raised: a refused token is temporary if its file holds another one now.

        Parameters
        ----------
        sent
            The headers that were sent.
        """
        if not isinstance(error, AuthRejected) or self._source is None:
            return error
        if self._source.has_another_than(sent.get("Authorization", "").removeprefix("Bearer ")):
            return TokenReplaced(f"{error.detail}. {TokenReplaced.title()}")
        if self._source.file is not None:
            error.hint = (
                "Create a token on the receiver with `cryoferry token create`, and write it into"
                f" {self._source.file}: it is read again, without a restart."
            )
        return error
