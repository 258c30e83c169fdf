"""Damaged strips: the kernels refuse those that the CPU's decoders refuse, and decode the others as they do."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from cuda_on_host import CudaOnHost, cuda_on_host
from encoded_files import write_eer_of_codes, write_tiff_of_strips

from preprocess.errors import UnreadableMovie
from preprocess.movies import Movie, open_movie
from preprocess.settings import EerSettings
from preprocess.simulation.eer_writer import encode_events

SHAPE = (40, 60)
PIXELS = SHAPE[0] * SHAPE[1]


@pytest.fixture(name="cuda", scope="module", params=["usual", "backwards"])
def _cuda(request):
    with cuda_on_host(kernels=request.param) as cuda:
        yield cuda


def damaged(strip: bytes, random: np.random.Generator) -> bytes:
    """Return a strip with some bits turned over, cut, spoilt or all noise; or as it is."""
    content = np.frombuffer(strip, np.uint8).copy()
    kind = random.integers(6)
    if kind == 0:
        return random.integers(0, 256, random.integers(1, 300), np.uint8).tobytes()
    if kind <= 2:
        places = random.integers(0, 8 * content.size, random.integers(1, 4))
        np.bitwise_xor.at(content, places // 8, (1 << places % 8).astype(np.uint8))
    elif kind == 3:
        begin, size = random.integers(content.size), random.integers(1, 40)
        content[begin : begin + size] = random.choice([0, 255, random.integers(256)])
    if random.integers(3) == 0:
        content = content[: random.integers(1, content.size + 1)]
    return content.tobytes()


def compare(cuda: CudaOnHost, movie: Movie) -> tuple[int, int]:
    """Decode all frames on either side; return how many are whole, how many corrupt."""
    strips, events = cuda.module("strips"), cuda.module("events")
    stack = cuda.backend().hold(movie.frame_count, movie.height, movie.width, movie.dtype)
    device, held = stack.device, stack.frames
    encoded = movie.encoded()
    if movie.format == "eer":
        decoder = events.EventDecoder(device, encoded, range(movie.frame_count), held)
    else:
        decoder = strips.StripDecoder(device, encoded, encoded.frames, held)
    for index, uploaded in enumerate(cuda.module("upload").Uploads(device, movie.path, decoder.plans, 2)):
        decoder.decode(index, uploaded)
    frames, suspects = held.get(), set(decoder.suspects())
    for index in range(movie.frame_count):
        try:
            (expected,) = movie.frames(index, index + 1)
        except UnreadableMovie:
            assert index in suspects, f"frame {index} is corrupt"
        else:
            assert index not in suspects, f"frame {index} is whole"
            np.testing.assert_array_equal(frames[index], expected, err_msg=str(index))
    return movie.frame_count - len(suspects), len(suspects)


def images(random: np.random.Generator) -> bytes:
    mean = random.choice([0.02, 0.5, 3, 60])
    return random.poisson(mean, PIXELS).astype(np.uint8).tobytes()


def deflated(image: bytes, random: np.random.Generator) -> bytes:
    strategy = random.choice([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE])
    packer = zlib.compressobj(int(random.integers(0, 10)), zlib.DEFLATED, int(random.integers(9, 16)), 8, int(strategy))
    return (
        packer.compress(image[:1000]) + packer.flush(zlib.Z_FULL_FLUSH) + packer.compress(image[1000:]) + packer.flush()
    )


ENCODERS: dict[int, Callable[[bytes, np.random.Generator], bytes]] = {
    5: lambda image, _: imagecodecs.lzw_encode(image),
    8: deflated,
}


@pytest.mark.parametrize(("compression", "long_strip_bytes"), [(5, 1 << 14), (5, 1), (8, 0)])
def test_damaged_strips(cuda, tmp_path, monkeypatch, compression, long_strip_bytes):
    monkeypatch.setattr(cuda.module("strips"), "LONG_STRIP_BYTES", long_strip_bytes)
    random = np.random.default_rng(compression + long_strip_bytes)
    strips = [damaged(ENCODERS[compression](images(random), random), random) for _ in range(400)]
    write_tiff_of_strips(tmp_path / "a.tif", [[strip] for strip in strips], SHAPE, compression)
    whole, corrupt = compare(cuda, open_movie(tmp_path / "a.tif", threads=1))
    assert min(whole, corrupt) > 50


@pytest.mark.parametrize("upsampling", [1, 2])
def test_damaged_events(cuda, tmp_path, monkeypatch, upsampling):
    monkeypatch.setattr(cuda.module("events"), "PIECE_BITS", 256)
    random = np.random.default_rng(upsampling)
    strips = []
    for _ in range(300):
        places = np.flatnonzero(random.random(PIXELS) < random.choice([0.001, 0.03, 0.2]))
        strips.append(damaged(encode_events(places, random.integers(0, 16, places.size), PIXELS), random))
    write_eer_of_codes(tmp_path / "a.eer", [[strip] for strip in strips], SHAPE)
    settings = EerSettings(hardware_frames_per_frame=1, upsampling=upsampling)
    whole, corrupt = compare(cuda, open_movie(tmp_path / "a.eer", settings, threads=1))
    assert min(whole, corrupt) > 50


REST = zlib.compress(bytes(PIXELS), 0)[2:]
"""Stored blocks of the whole image, all zeros, and its checksum."""


def with_block(*fields: tuple[int, int], made: int = 0) -> bytes:
    """Return a stream that is whole if zlib takes a first block of these (value, bits), lowest bit first.

    The block makes the first `made` bytes of the image.
    """
    number = at = 0
    for value, count in [(0, 1), *fields]:
        number |= value << at
        at += count
    rest = zlib.compress(bytes(PIXELS - made), 0)[2:-4] + REST[-4:]
    stored = b"\0\0\xff\xff"  # three bits for a stored block, then whole bytes: an empty one
    return b"\x78\x01" + number.to_bytes(-(-(at + 3) // 8), "little") + stored + rest


def dynamic(literals: int, distances: int, lengths: list[tuple[int, int]], *body: str) -> bytes:
    """Return a stream with a dynamic block first; codes' lengths are (length, times), each coded with 4 bits."""
    code = [(0, 3)] * 3 + [(4, 3)] * 16  # lengths of 16, 17, 18, then those of 0 to 15 in their own order
    each = [format(length, "04b") for length, times in lengths for _ in range(times)]
    coded = [(int(bits[::-1], 2), len(bits)) for bits in (*each, *body)]  # codes go highest bit first
    return with_block((2, 2), (literals - 257, 5), (distances - 1, 5), (15, 4), *code, *coded)


TAKEN = {
    "nothing but an end of one bit, and no distance": dynamic(257, 1, [(0, 256), (1, 1), (0, 1)], "0"),
    "nothing but an end of one bit, one distance of one bit": dynamic(257, 1, [(0, 256), (1, 1), (1, 1)], "0"),
    "complete codes": dynamic(257, 2, [(0, 255), (1, 2), (1, 2)], "1"),
    "29 distances and 286 symbols": dynamic(286, 30, [(0, 256), (1, 1), (0, 28), (1, 1), (0, 28), (1, 2)], "0"),
    "a fixed block": with_block((1, 2), (0, 7)),
    "fixed symbol 285": with_block((1, 2), (0b00001100, 8), (0b10100011, 8), (0, 5), (0, 7), made=259),
    "what follows is ignored": zlib.compress(bytes(PIXELS)) + b"more",
    "empty blocks": b"\x78\x01" + b"\0\0\0\xff\xff" * 3 + REST,
}
REFUSED = {
    "no end of block": dynamic(257, 1, [(1, 1), (0, 255), (0, 1), (0, 1)], "0"),
    "the bit that stands for nothing": dynamic(257, 1, [(0, 256), (1, 1), (0, 1)], "1"),
    "incomplete literals": dynamic(257, 1, [(0, 255), (2, 2), (0, 1)], "01"),
    "an end of two bits": dynamic(257, 1, [(0, 256), (2, 1), (0, 1)], "00"),
    "too many codes of literals": dynamic(257, 1, [(1, 2), (0, 254), (1, 1), (0, 1)], "1"),
    "too many codes of distances": dynamic(257, 3, [(0, 256), (1, 1), (1, 3)], "0"),
    "incomplete distances": dynamic(257, 2, [(0, 256), (1, 1), (2, 2)], "0"),
    "one distance of two bits": dynamic(257, 1, [(0, 256), (1, 1), (2, 1)], "0"),
    "287 symbols": dynamic(287, 1, [(0, 256), (1, 1), (0, 30), (0, 1)], "0"),
    "31 distances": dynamic(257, 31, [(0, 256), (1, 1), (0, 31)], "0"),
    "a block of no kind": with_block((3, 2)),
    "fixed symbol 286": with_block((1, 2), (0b00001100, 8), (0b01100011, 8), (0, 5), (0, 7), made=259),
    "fixed, a distance to before the first byte": with_block((1, 2), (0b1000000, 7), (0, 5), (0, 7)),
    "stored, sizes differ": b"\x78\x01\0\1\0\xff\xff" + REST,
    "a preset dictionary": b"\x78\x20" + REST,
    "a window too large": b"\x88\x1c" + REST,
    "a header that is none": b"\x78\x02" + REST,
    "another method": b"\x79\x18" + REST,
    "a byte too many": zlib.compress(bytes(PIXELS + 1)),
    "a byte too few": zlib.compress(bytes(PIXELS - 1)),
    "another checksum": zlib.compress(bytes(PIXELS))[:-1] + b"\x77",
    "no checksum": zlib.compress(bytes(PIXELS))[:-4],
}


@pytest.mark.parametrize(
    ("streams", "count"), [(TAKEN, (len(TAKEN), 0)), (REFUSED, (0, len(REFUSED)))], ids=["taken", "refused"]
)
def test_streams_that_zlib_is_particular_about(cuda, tmp_path, streams, count):
    write_tiff_of_strips(tmp_path / "a.tif", [[stream] for stream in streams.values()], SHAPE, 8)
    assert compare(cuda, open_movie(tmp_path / "a.tif", threads=1)) == count
