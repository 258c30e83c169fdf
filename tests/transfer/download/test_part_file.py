"""A part file keeps what was downloaded, and gets its name only with the right content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from transfer.download.part_file import PartFile
from transfer.wire.chunks import CHUNK_BYTES, split
from transfer.wire.digest import chunk_digest, root_digest
from transfer.wire.errors import FileCorrupt, NameTaken
from transfer.wire.receipt import Receipt

DATA = os.urandom(2 * CHUNK_BYTES + 5)
CHUNKS = split(len(DATA))


def receipt_of(data: bytes) -> Receipt:
    digest = root_digest(chunk_digest(data[chunk.start : chunk.stop]) for chunk in split(len(data)))
    return Receipt(session="s", path="file", revision=1, size_bytes=len(data), digest=digest)


def write(part: PartFile, chunk: range, data: bytes = DATA) -> None:
    part.write(data[chunk.start : chunk.stop], chunk.start)
    part.add(chunk)


def test_a_download_continues_with_the_chunks_that_are_missing(tmp_path: Path) -> None:
    target, receipt = tmp_path / "file", receipt_of(DATA)
    with PartFile(target, receipt) as part:
        assert part.missing() == CHUNKS
        write(part, CHUNKS[1])
    assert not target.exists()
    with PartFile(target, receipt) as part:
        assert part.missing() == [CHUNKS[0], CHUNKS[2]]
        write(part, CHUNKS[0])
        write(part, CHUNKS[2])
        assert part.missing() == []
        part.publish()
    assert target.read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_part_file_of_another_size_is_begun_again(tmp_path: Path) -> None:
    with PartFile(tmp_path / "file", receipt_of(DATA)) as part:
        part.missing()
        write(part, CHUNKS[0])
    (hidden,) = tmp_path.glob(".*.part")
    os.truncate(hidden, 10)
    with PartFile(tmp_path / "file", receipt_of(DATA)) as part:
        assert part.missing() == CHUNKS


def test_a_list_that_was_cut_off_or_damaged_is_not_trusted(tmp_path: Path) -> None:
    target, receipt = tmp_path / "file", receipt_of(DATA)
    with PartFile(target, receipt) as part:
        part.missing()
    (listing,) = tmp_path.glob(".*.chunks")
    listing.write_text("0\n1\n2\nx\n-1\n", "ascii")  # says that all is there, which is not so
    with PartFile(target, receipt) as part:
        assert part.missing() == []
        with pytest.raises(FileCorrupt):
            part.publish()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_created_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with PartFile(target, receipt_of(DATA)) as part:
        for chunk in part.missing():
            write(part, chunk)
        target.write_bytes(b"another program's")
        with pytest.raises(NameTaken):
            part.publish()
    assert target.read_bytes() == b"another program's"


def test_an_empty_file_is_published_without_a_chunk(tmp_path: Path) -> None:
    with PartFile(tmp_path / "file", receipt_of(b"")) as part:
        assert part.missing() == []
        part.publish()
    assert (tmp_path / "file").read_bytes() == b""
