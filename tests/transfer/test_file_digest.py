"""The root digest of a file: published values that never change."""

import os

import pytest

from transfer.file_digest import file_digest
from transfer.wire.chunks import CHUNK_BYTES

EMPTY = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"  # BLAKE3's published value of no bytes
GOLDEN = {
    0: EMPTY,
    1: "2bf4d007e0cefcaf167e4641bb0f343b402775122dbff17b11514e9cbd21eefa",
    CHUNK_BYTES - 1: "55c042732d641155a51c2e268866197df2bfb90678b253c9e9d9705c09b5930c",
    CHUNK_BYTES: "19d9c936c1591454648f52ad3f889cc990863d37c0967536525167d5ad1ea5c9",
    CHUNK_BYTES + 1: "39408a2db406ee79e37024bc87b2da5bbb4ecc615b45f113f8e6c6ac72c62330",
    2 * CHUNK_BYTES + 5: "ab179b495ad7ca45da3b3e9113ab6025a83c4137fbc6c4ab94364a77eea5e908",
}


def pattern(size_bytes):
    """The input of BLAKE3's published test vectors: bytes 0, 1 … 250, and again."""
    return (bytes(range(251)) * (size_bytes // 251 + 1))[:size_bytes]


@pytest.mark.parametrize(("size_bytes", "expected"), GOLDEN.items())
def test_the_identity_of_a_file_never_changes(tmp_path, size_bytes, expected):
    path = tmp_path / "file"
    path.write_bytes(pattern(size_bytes))
    with path.open("rb") as file:
        assert file_digest(file.fileno(), size_bytes) == expected


def test_a_file_that_is_shorter_than_told_is_an_error(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"short")
    fd = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(EOFError, match="byte 5; 6 were expected"):
            file_digest(fd, 6)
    finally:
        os.close(fd)


def test_the_chunk_is_part_of_the_identity():
    assert CHUNK_BYTES == 8 * 1024 * 1024
