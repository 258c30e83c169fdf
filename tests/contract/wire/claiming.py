"""Agents that claim, send and publish by hand: what a movie is to them is decided by the test, not by a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from tests.records import record_of_files
from transfer.wire.exposure_claim import ClaimAnswer, ClaimAnswers

SUFFIXES = (".mrc", "_noDW.mrc", ".json")


class Clock:
    """A receiver's clock, which only the test moves."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def pass_by(self, span: timedelta) -> None:
        self.moment += span


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def claim(path: str, content: str = "A", *, whole: bool = False, **more: Any) -> dict[str, Any]:
    """Return a claim of a movie at a path.

    Parameters
    ----------
    content
        Names the movie's content; what comes before a slash is what its samples show.
    whole
        Give the digest of the whole movie.
    """
    claimed = {
        "exposure_id": str(uuid4()),
        "stem": path.rpartition(".")[0],
        "path": path,
        "size_bytes": 1000,
        "sampled_digest": digest("sample of " + content.partition("/")[0]),
        "movie_digest": digest(content) if whole else None,
        "suffixes": SUFFIXES,
    }
    return claimed | more


def record(answer: ClaimAnswer, path: str, content: str | None, receipt: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the record of an exposure that has one file."""
    made_from = None if content is None else {"software": "test", "movie_digest": digest(content)}
    known = {
        "revision": answer.revision,
        "movie": path,
        "label": path.rpartition(".")[0].rpartition("/")[2],
        "figures": {},
        "provenance": made_from,
    }
    return record_of_files(answer.exposure_id, [receipt], **(known | more))


@dataclass
class HandAgent:
    """An agent of session s1 that does what the test says."""

    http: Any
    agent: UUID = field(default_factory=uuid4)

    def ask(self, *claims: dict[str, Any]) -> Any:
        """Return the answer to a batch, as it came."""
        return self.http.post(
            "/v1/sessions/s1/exposures/claim", json={"agent": str(self.agent), "claims": list(claims)}
        )

    def claim(self, path: str, content: str = "A", **more: Any) -> ClaimAnswer:
        """Claim one movie."""
        (answer,) = self.claims(claim(path, content, **more))
        return answer

    def claims(self, *claims: dict[str, Any]) -> tuple[ClaimAnswer, ...]:
        """Claim several movies."""
        answer = self.ask(*claims)
        assert answer.status_code == 200, answer.text
        return ClaimAnswers.model_validate_json(answer.content).answers

    def send(self, answer: ClaimAnswer, data: bytes = b"micrograph") -> dict[str, Any]:
        """Send the micrograph of a claimed exposure as the next revision of its file; return the receipt."""
        revision = answer.file_revisions.get(".mrc", 0) + 1
        sent = self.http.put(f"/v1/files/s1/{answer.stem}.mrc?revision={revision}", content=data)
        assert sent.status_code == 201, sent.text
        receipt: dict[str, Any] = sent.json()
        return receipt

    def publish(
        self, answer: ClaimAnswer, path: str, content: str | None = "A", data: bytes = b"micrograph", **more: Any
    ) -> Any:
        """Send and publish a claimed exposure."""
        return self.put(record(answer, path, content, self.send(answer, data), **more))

    def put(self, body: dict[str, Any]) -> Any:
        """Publish a record."""
        return self.http.put(f"/v1/sessions/s1/exposures/{body['exposure_id']}", json=body)

    def report(self, lease: str = "none", **more: Any) -> dict[str, Any]:
        """Report the agent's status; return what the receiver answered."""
        status = {"host": "scope-3", "version": "0.1", "started_at": "2026-05-04T00:00:00Z", "lease": lease, **more}
        answer = self.http.put(f"/v1/sessions/s1/agents/{self.agent}", json=status)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told
