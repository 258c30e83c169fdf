"""Compares files here with what a receiver has committed, by digest: each file here is read again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from transfer.upload.source import Source
from transfer.wire.digest import file_digest
from transfer.wire.errors import SourceChanged, TransferError
from transfer.wire.receipt import Receipt

READERS = 4


class Verdict(StrEnum):
    """What became of a name on both sides."""

    SAME = "same"
    MISSING = "missing"  # on the receiver
    DIFFERENT = "different"
    EXTRA = "extra"  # on the receiver, and not here
    UNREADABLE = "unreadable"  # here


@dataclass(frozen=True, slots=True)
class Comparison:
    """One name, and what was found under it."""

    path: str
    verdict: Verdict
    detail: str = ""


def digest_of(path: Path) -> str:
    """Return the root digest of a file that nobody writes to.

    Raises
    ------
    SourceUnreadable, SourceChanged
    """
    with Source(path) as source:
        try:
            digest = file_digest(source.fileno(), source.size_bytes)
        except EOFError as error:
            raise SourceChanged(f"{path}: {error}") from error
        source.check_unchanged()
        return digest


def compare(here: Mapping[str, Path], there: Iterable[Receipt]) -> Iterator[Comparison]:
    """Yield what became of each name, those here first.

    Parameters
    ----------
    here
        The files here, by the path that they have on the receiver.
    there
        What the receiver has; every name of it that is not `here` is extra.
    """
    listed = {receipt.path: receipt for receipt in there}
    with ThreadPoolExecutor(READERS, thread_name_prefix="cryoferry-compare") as readers:
        yield from readers.map(lambda path: _compared(path, here[path], listed.get(path)), sorted(here))
    for path in sorted(listed.keys() - here.keys()):
        yield Comparison(path, Verdict.EXTRA)


def _compared(path: str, file: Path, receipt: Receipt | None) -> Comparison:
    if receipt is None:
        return Comparison(path, Verdict.MISSING)
    try:
        size_bytes = file.stat().st_size
        if size_bytes != receipt.size_bytes:
            return Comparison(path, Verdict.DIFFERENT, f"{size_bytes} bytes here, {receipt.size_bytes} there")
        digest = digest_of(file)
    except TransferError as error:
        return Comparison(path, Verdict.UNREADABLE, str(error))
    except OSError as error:
        return Comparison(path, Verdict.UNREADABLE, f"{file}: {error.strerror}")
    if digest != receipt.digest:
        return Comparison(path, Verdict.DIFFERENT, f"{digest} here, {receipt.digest} there")
    return Comparison(path, Verdict.SAME)
