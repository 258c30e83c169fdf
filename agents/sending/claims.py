"""Asks the receiver which exposure a movie is, and whether it has it already: `transfer.wire.exposure_claim`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from uuid import UUID

from pydantic import ValidationError

from agents.journal.rows import ExposureRow, ReleasedExposure
from agents.sending.receiver_link import REFUSALS, ReceiverLink
from transfer.wire.errors import BadRequest, NotFound, PermanentError, TemporaryError
from transfer.wire.exposure_claim import ClaimAnswer, ClaimBatch, MovieClaim

log = logging.getLogger(__name__)

_UNREACHED_PAUSE_S = 10.0
"""After a claim that did not reach the receiver, movies are aligned without a claim for this long."""
_UNKNOWN_PAUSE_S = 600.0
"""A receiver that knows no claims is asked again after this time: it may have been upgraded."""


class AnswersClaims(Protocol):
    """What `transfer.client.ReceiverClient` offers here."""

    def claim(self, session: str, batch: ClaimBatch) -> tuple[ClaimAnswer, ...]:
        """Return the answers in the order of the claims."""


class Claims:
    """The claims of one agent; safe to use from several threads.

    Parameters
    ----------
    client
        With a short timeout: a claim before an alignment must not hold it up.
    source_name
        The option --source: paths are unique within it.
    """

    def __init__(
        self,
        client: AnswersClaims,
        link: ReceiverLink,
        session: str,
        agent: UUID,
        *,
        source_name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._link, self._session, self._agent = client, link, session, agent
        self._source_name, self._clock = source_name, clock
        self._unreached_until_s = self._unknown_until_s = 0.0

    def ask_now(self, exposure: ExposureRow) -> ClaimAnswer | None:
        """Claim a movie before its alignment; None if the receiver cannot be asked now, or knows no claims."""
        if self._link.trouble is not None or self._clock() < max(self._unreached_until_s, self._unknown_until_s):
            return None
        claim = self._claim_of(exposure)
        if claim is None:
            return None
        try:
            return self._ask([claim])[0]
        except (TemporaryError, *REFUSALS) as error:  # the link reports it when something is sent
            log.debug("%s: not claimed (%s); it is claimed before it is sent", exposure.movie, error)
            self._unreached_until_s = self._clock() + _UNREACHED_PAUSE_S
        except PermanentError as error:
            self._note_refusal(exposure.movie, error)
        return None

    def ask(self, exposure: ExposureRow, suffixes: Sequence[str]) -> ClaimAnswer | None:
        """Claim a movie before its files are sent, however long that takes; None if the receiver knows no claims.

        Raises
        ------
        LinkStopped
        """
        claim = self._claim_of(exposure, suffixes)
        if claim is None or self._clock() < self._unknown_until_s:
            return None
        try:
            return self._link.persist(lambda: self._ask([claim]))[0]
        except REFUSALS:
            raise
        except PermanentError as error:
            self._note_refusal(exposure.movie, error)
            return None

    def ask_many(self, claims: Sequence[MovieClaim]) -> tuple[ClaimAnswer, ...]:
        """Claim many movies at once, at most `transfer.wire.exposure_claim.MAX_CLAIMS`.

        Raises
        ------
        TransferError
        """
        return self._ask(claims)

    def claim_of_released(self, exposure: ReleasedExposure) -> MovieClaim | None:
        """Return the claim that asks whether the receiver still has an exposure; None if its digest is not known."""
        if exposure.sampled_digest is None or exposure.size_bytes is None:
            return None
        return self._claim(
            exposure_id=exposure.exposure_id,
            stem=exposure.remote_stem,
            path=exposure.movie,
            size_bytes=exposure.size_bytes,
            sampled_digest=exposure.sampled_digest,
            movie_digest=exposure.movie_digest,
            settings_digest=exposure.settings_digest,
        )

    def _claim_of(self, exposure: ExposureRow, suffixes: Sequence[str] = ()) -> MovieClaim | None:
        if exposure.sampled_digest is None or exposure.identity is None:
            return None
        return self._claim(
            exposure_id=exposure.exposure_id,
            stem=exposure.remote_stem,
            path=exposure.movie,
            size_bytes=exposure.identity.size_bytes,
            sampled_digest=exposure.sampled_digest,
            movie_digest=exposure.movie_digest,
            settings_digest=exposure.settings_digest,
            reason=exposure.claim_reason,
            suffixes=tuple(suffixes),
        )

    def _claim(self, **values: Any) -> MovieClaim | None:
        """Return a claim; None if the protocol has no claim for it, because its path is too long."""
        try:
            return MovieClaim(source=self._source_name, **values)
        except ValidationError as error:
            log.debug("%s cannot be claimed: %s", values["path"], error)
            return None

    def _ask(self, claims: Sequence[MovieClaim]) -> tuple[ClaimAnswer, ...]:
        return self._client.claim(self._session, ClaimBatch(agent=self._agent, claims=tuple(claims)))

    def _note_refusal(self, movie: str, error: PermanentError) -> None:
        """Note that a movie cannot be claimed: the receiver is older, or refuses this claim, such as a long path."""
        if isinstance(error, BadRequest) and "method not allowed" in error.detail.lower():
            log.info("the receiver knows no claims: it is older than this agent, which goes on without them")
            self._unknown_until_s = self._clock() + _UNKNOWN_PAUSE_S
        elif not isinstance(error, NotFound):  # a session that is not open yet is opened before something is sent
            log.warning("%s cannot be claimed: %s; it is sent without a claim", movie, error)
