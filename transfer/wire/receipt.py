"""The receipt: proof that the receiver has a file, durable and complete."""

from __future__ import annotations

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
