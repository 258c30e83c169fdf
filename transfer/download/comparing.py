"""Compares local files with those that a receiver has committed, by digest. Each local file is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from transfer.source import digest_of
from transfer.wire.errors import TransferError
from transfer.wire.receipt import Receipt

READERS = 4


class ComparisonStatus(StrEnum):
    """The result of comparing one name."""

    SAME = "same"
    MISSING = "missing"  # the receiver has no file of this name
    DIFFERENT = "different"
    EXTRA = "extra"  # only the receiver has a file of this name
    UNREADABLE = "unreadable"  # the local file cannot be read


@dataclass(frozen=True, slots=True)
class Comparison:
    """One name, and the result of comparing the files under it."""

    path: str
    status: ComparisonStatus
    detail: str = ""


def compare(here: Mapping[str, Path], there: Iterable[Receipt]) -> Iterator[Comparison]:
    """Yield the result for each name: first for the local files, then for files that only the receiver has.

    Parameters
    ----------
    here
        The local files, by the path that they have on the receiver.
    there
        The receipts of the files on the receiver.
    """
    listed = {receipt.path: receipt for receipt in there}
    with ThreadPoolExecutor(READERS, thread_name_prefix="cryoferry-compare") as readers:
        yield from readers.map(lambda path: _compared(path, here[path], listed.get(path)), sorted(here))
    for path in sorted(listed.keys() - here.keys()):
        yield Comparison(path, ComparisonStatus.EXTRA)


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
