"""Compares local files with those that a receiver has committed, by digest. Each local file is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from transfer.file_digest import sha256_of
from transfer.source import digest_of
from transfer.wire.errors import TransferError
from transfer.wire.protocol import ListedFile
from transfer.wire.receipt import Receipt
from transfer.wire.verification import FileCheck

READERS = 4


class ComparisonStatus(StrEnum):
    """The result of comparing one name."""

    SAME = "same"
    MISSING = "missing"  # the receiver has no file of this name
    DIFFERENT = "different"
    EXTRA = "extra"  # only the receiver has a file of this name
    LOST = "lost"  # the receiver has committed it, and its disk has not kept it
    UNREADABLE = "unreadable"  # the local file cannot be read


@dataclass(frozen=True, slots=True)
class Comparison:
    """One name, and the result of comparing the files under it.

    Attributes
    ----------
    sha256
        Of the file, in hex, if it is known.
    """

    path: str
    status: ComparisonStatus
    detail: str = ""
    sha256: str | None = None


def compare(
    here: Mapping[str, Path],
    there: Iterable[ListedFile],
    lost: Mapping[str, str] | None = None,
    *,
    with_sha256: bool = False,
) -> Iterator[Comparison]:
    """Yield the result for each name: first for the local files, then for files that only the receiver has.

    Parameters
    ----------
    here
        The local files, by the path that they have on the receiver.
    there
        The files on the receiver.
    lost
        Files that the receiver has read and that are not as they were committed, with what is wrong.
    with_sha256
        Compute the SHA-256 of each file that is the same and whose SHA-256 the receiver does not know yet.
    """
    listed, lost = {file.path: file for file in there}, lost or {}

    def result(path: str) -> Comparison:
        file = listed.get(path)
        if file is not None and (detail := lost.get(path, _loss(file))):
            return Comparison(path, ComparisonStatus.LOST, detail)
        if path not in here:
            return Comparison(path, ComparisonStatus.EXTRA)
        compared = _compared(path, here[path], file)
        if compared.status is not ComparisonStatus.SAME or file is None:
            return compared
        return _with_sha256(compared, here[path], file.sha256, compute=with_sha256)

    with ThreadPoolExecutor(READERS, thread_name_prefix="cryoferry-compare") as readers:
        yield from readers.map(result, sorted(here))
    yield from map(result, sorted(listed.keys() - here.keys()))


def _loss(file: ListedFile) -> str:
    """Return what the receiver's list says is wrong with a file on its disk; empty if nothing is."""
    if file.on_disk in (None, FileCheck.SAME):
        return ""
    return f"the receiver's list says: {file.on_disk.value}"


def _with_sha256(compared: Comparison, file: Path, known: str | None, *, compute: bool) -> Comparison:
    if known is not None or not compute:
        return replace(compared, sha256=known)
    try:
        return replace(compared, sha256=sha256_of(file))
    except OSError as error:
        return Comparison(compared.path, ComparisonStatus.UNREADABLE, f"{file}: {error.strerror}")


def _compared(path: str, file: Path, receipt: Receipt | None) -> Comparison:
    if receipt is None:
        return Comparison(path, ComparisonStatus.MISSING)
    try:
        size_bytes = file.stat().st_size
        if size_bytes != receipt.size_bytes:
            return Comparison(path, ComparisonStatus.DIFFERENT, f"{size_bytes} bytes here, {receipt.size_bytes} there")
        digest = digest_of(file)
    except TransferError as error:
        return Comparison(path, ComparisonStatus.UNREADABLE, str(error))
    except OSError as error:
        return Comparison(path, ComparisonStatus.UNREADABLE, f"{file}: {error.strerror}")
    if digest != receipt.digest:
        return Comparison(path, ComparisonStatus.DIFFERENT, f"{digest} here, {receipt.digest} there")
    return Comparison(path, ComparisonStatus.SAME)
