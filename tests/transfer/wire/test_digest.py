"""Digests of chunks and files, and the Content-Digest field."""

import hashlib

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.wire.digest import (
    CHUNKED,
    chunk_digest,
    digest_by_chunks,
    format_content_digest,
    new_hasher,
    parse_content_digest,
    root_digest,
)
from transfer.wire.errors import BadRequest

EMPTY = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"  # BLAKE3's published value of no bytes


def pattern(size_bytes):
    """The input of BLAKE3's published test vectors: bytes 0, 1 … 250, and again."""
    return (bytes(range(251)) * (size_bytes // 251 + 1))[:size_bytes]


def test_blake3_is_the_published_one():
    assert chunk_digest(b"").hex() == EMPTY
    assert chunk_digest(pattern(1)).hex() == "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"


def test_the_root_is_the_digest_of_the_digests_in_their_order():
    first, second = chunk_digest(b"first"), chunk_digest(b"second")
    assert root_digest([first, second]) == blake3(first + second).hexdigest()
    assert root_digest([first, second]) != root_digest([second, first])


@given(st.binary(min_size=32, max_size=32), st.sampled_from([CHUNKED, "blake3", "sha-256"]))
def test_content_digest_round_trip(digest, algorithm):
    assert parse_content_digest(format_content_digest(algorithm, digest)) == (algorithm, digest)


def test_the_strongest_known_digest_is_taken():
    blake, sha = bytes(32), b"\1" * 32
    field = f"md5=:AAAA:, {format_content_digest('sha-256', sha)}, {format_content_digest('blake3', blake)}"
    assert parse_content_digest(field) == ("blake3", blake)
    assert parse_content_digest(f"unknown=?1,{format_content_digest('SHA-256', sha)}") == ("sha-256", sha)


@pytest.mark.parametrize(
    "field", ["", "blake3", "blake3=", "blake3=::", "blake3=:AAAA:", "blake3=:!!!:", "md5=:AAAA:", "blake3=AAAA"]
)
def test_a_field_without_a_usable_digest_is_refused(field):
    with pytest.raises(BadRequest):
        parse_content_digest(field)


@given(st.binary(max_size=200), st.integers(0, 200))
@settings(deadline=None)
def test_hashers_take_the_bytes_in_pieces(data, cut):
    for algorithm, whole in [("blake3", blake3(data).digest()), ("sha-256", hashlib.sha256(data).digest())]:
        hasher = new_hasher(algorithm)
        hasher.update(data[:cut])
        hasher.update(memoryview(data)[cut:])
        assert hasher.digest() == whole


def test_an_unknown_algorithm_is_named():
    with pytest.raises(BadRequest, match="'md5'"):
        new_hasher("md5")


def test_what_the_digests_of_chunks_tell_of_a_body():
    one, two = bytes(32), b"\1" * 32
    assert digest_by_chunks("blake3", [one]) == one
    assert digest_by_chunks("blake3", [one, two]) is digest_by_chunks("sha-256", [one]) is None
    assert digest_by_chunks(CHUNKED, [one, two]) == blake3(one + two).digest() != digest_by_chunks(CHUNKED, [two, one])


def test_an_encoded_body_has_no_chunks_to_digest():
    chunked, sha = format_content_digest(CHUNKED, bytes(32)), format_content_digest("sha-256", b"\1" * 32)
    assert parse_content_digest(f"{sha}, {chunked}") == (CHUNKED, bytes(32))
    assert parse_content_digest(f"{sha}, {chunked}", is_encoded=True) == ("sha-256", b"\1" * 32)
    with pytest.raises(BadRequest):
        parse_content_digest(chunked, is_encoded=True)
