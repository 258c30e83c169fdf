"""The receipt: proof that the receiver has a file, durable and complete."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

MAX_REVISION = 2**31 - 1


class Record(BaseModel):
    """Immutable data that travels. A reader ignores fields that it does not know: a newer version may send more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Receipt(Record):
    """The receiver states that a file is durable and complete on its disk, under its name."""

    session: str
    path: str
    revision: int = Field(ge=1)
    size_bytes: int = Field(ge=0)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="root digest: BLAKE3 over the chunks' BLAKE3 digests")
    folder_id: UUID | None = Field(
        default=None, description="of the receiver's data folder; null from an older receiver"
    )
    sequence: int | None = Field(
        default=None, ge=1, description="rises with each commit in that data folder; null where it is not known"
    )
    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="of the whole file; null until it is computed"
    )
    is_new: bool | None = Field(
        default=None, description="whether this request committed the file; false: it was there before"
    )

    @property
    def file(self) -> tuple[str, str, int, int, str]:
        """Return which file the receipt is for: session, path, revision, size and digest."""
        return self.session, self.path, self.revision, self.size_bytes, self.digest
