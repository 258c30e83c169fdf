"""The files that an alignment made, as the journal keeps them: where they lie here, and their names on the receiver."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from transfer.wire.exposure_record import FileReference, FileRole
from transfer.wire.receipt import Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file that an exposure's alignment made; `receipt` is None until the receiver committed it."""

    role: str
    local_path: str
    remote_path: str
    file_revision: int
    digest: str
    size_bytes: int
    receipt: Receipt | None = None


def renamed(output: Output, old_stem: str, new_stem: str, newest: Mapping[str, int], *, is_name_taken: bool) -> Output:
    """Return an output with the name and revision that it gets on the receiver after a claim.

    Parameters
    ----------
    newest
        The newest revision of each file that the receiver has, by its suffix.
    is_name_taken
        Another file has one of the names, so that a file without a receipt becomes the next revision. Otherwise it may
        be one that arrived before its receipt was kept: its revision stays, and the receiver compares the content.
    """
    suffix = output.remote_path.removeprefix(old_stem)
    following = newest.get(suffix, 0) + 1
    if new_stem != old_stem:
        return replace(output, remote_path=new_stem + suffix, file_revision=following, receipt=None)
    if output.receipt is not None:
        return output
    return replace(output, file_revision=following if is_name_taken else min(output.file_revision, following))


def references(outputs: Iterable[Output]) -> tuple[FileReference, ...]:
    """Return what an exposure's record says of its files."""
    return tuple(
        FileReference(
            role=FileRole(output.role),
            path=output.remote_path,
            revision=output.file_revision,
            size_bytes=output.size_bytes,
            digest=output.digest,
        )
        for output in outputs
    )


def output_of(row: sqlite3.Row) -> Output:
    """Return the output in a row."""
    return Output(
        role=row["role"],
        local_path=row["local_path"],
        remote_path=row["remote_path"],
        file_revision=row["file_revision"],
        digest=row["digest"],
        size_bytes=row["size_bytes"],
        receipt=None if row["receipt"] is None else Receipt.model_validate_json(row["receipt"]),
    )
