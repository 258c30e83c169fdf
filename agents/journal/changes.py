"""What the journal announces: small values that hold all that a listener may show or send."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from agents.journal.rows import ExposureRow
from agents.journal.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureChanged:
    """An exposure was found or changed its state; `published_id` is its id on the receiver."""

    exposure_id: UUID
    published_id: UUID
    movie: str
    label: str
    state: State
    reason: str
    hint: str
    revision: int
    motion_angstrom: float | None
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, exposure: ExposureRow) -> ExposureChanged:
        """Return the announcement of an exposure as it is now."""
        return cls(
            exposure_id=exposure.exposure_id,
            published_id=exposure.published_id,
            movie=exposure.movie,
            label=exposure.label,
            state=exposure.state,
            reason=exposure.reason,
            hint=exposure.hint,
            revision=exposure.revision,
            motion_angstrom=exposure.motion_angstrom,
            warnings=exposure.warnings,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteChanged:
    """A note about the whole work folder changed, such as `receiver_trouble`; None: it was removed."""

    key: str
    value: str | None


Change = ExposureChanged | NoteChanged
