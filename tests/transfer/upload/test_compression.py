"""Which files are worth compressing, and that compressed parts are the same bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zstandard

from transfer.source import Source
from transfer.upload.compression import LEAST_FILE_BYTES, SAMPLE_BYTES, SAMPLES, encode, shrinks
from transfer.wire.digest import chunk_digest

SIZE_BYTES = 4_000_003


def made(folder: Path, data: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(data)
    return path


def noise_with_zeros(share: float) -> bytes:
    """Return bytes of which a share is zero, everywhere in the file alike."""
    period = 1000
    zeros = int(share * period)
    return b"".join(bytes(zeros) + os.urandom(period - zeros) for _ in range(SIZE_BYTES // period))


@pytest.mark.parametrize(("share", "expected"), [(0.0, False), (0.1, False), (0.3, True), (0.9, True)])
def test_a_file_is_compressed_if_it_shrinks_to_four_fifths(tmp_path: Path, share: float, expected: bool) -> None:
    with Source(made(tmp_path, noise_with_zeros(share))) as source:
        assert shrinks(source) is expected


@pytest.mark.parametrize("size_bytes", [0, 1, LEAST_FILE_BYTES - 1])
def test_small_files_are_never_compressed(tmp_path: Path, size_bytes: int) -> None:
    with Source(made(tmp_path, bytes(size_bytes))) as source:
        assert not shrinks(source)


def test_samples_come_from_the_whole_file_to_its_last_byte(tmp_path: Path) -> None:
    read: list[range] = []

    class Noted(Source):
        def read_into(self, buffer: memoryview, offset: int) -> None:
            read.append(range(offset, offset + len(buffer)))
            super().read_into(buffer, offset)

    with Noted(made(tmp_path, bytes(SIZE_BYTES))) as source:
        shrinks(source)
    assert len(read) == SAMPLES
    assert {len(part) for part in read} == {SAMPLE_BYTES}
    assert (read[0].start, read[-1].stop) == (0, SIZE_BYTES)


@pytest.mark.parametrize("part", [range(SIZE_BYTES), range(1000, 1001), range(SIZE_BYTES - 300_000, SIZE_BYTES)])
def test_a_compressed_part_is_the_same_bytes_and_has_their_digest(tmp_path: Path, part: range) -> None:
    data = noise_with_zeros(0.5).ljust(SIZE_BYTES, b"x")
    with Source(made(tmp_path, data)) as source:
        encoded, digest = encode(source, part, memoryview(bytearray(70_000)))
    wanted = data[part.start : part.stop]
    assert zstandard.ZstdDecompressor().decompress(encoded) == wanted
    assert digest == chunk_digest(wanted)
