"""TIFF pages of every kind are read as tifffile and libtiff read them, or refused with the true reason."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from preprocess.correction.reference_image import first_image
from preprocess.errors import UnreadableMovie, UnsupportedFormat
from preprocess.movies import open_movie
from preprocess.movies.structure import missing_structure

HEIGHT, WIDTH, FRAMES = 53, 70, 3
TILE = (16, 32)


def counts(dtype="u1", *, mean=0.9, shape=(FRAMES, HEIGHT, WIDTH)):
    return np.random.default_rng(3).poisson(mean, shape).astype(dtype)


def written(path, frames, **options):
    """Write a page for each frame; return them as tifffile reads them."""
    options = {"photometric": "minisblack", "metadata": None, "contiguous": False, **options}
    with tifffile.TiffWriter(
        path, bigtiff=options.pop("bigtiff", False), byteorder=options.pop("byteorder", "<")
    ) as file:
        for frame in frames:
            file.write(frame, **options)
    return tifffile.imread(path).reshape(len(frames), *frames[0].shape)


def assert_as_written(path, expected):
    """A movie is whole and comes out pixel by pixel, upside down, by both ways of reading."""
    assert missing_structure(path) is None
    movie = open_movie(path, threads=2)
    assert (movie.frame_count, movie.height, movie.width) == (len(expected), *expected[0].shape)
    delivered = {}
    list(movie.deliver(lambda index, frame: delivered.__setitem__(index, np.array(frame))))
    for index, (frame, right) in enumerate(zip(movie.frames(), expected, strict=True)):
        assert frame.dtype == movie.dtype
        assert frame.dtype.isnative
        np.testing.assert_array_equal(frame[::-1], right)
        np.testing.assert_array_equal(delivered[index], frame)
    return movie


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd", "packbits", "lzma"])
@pytest.mark.parametrize("tile", [None, TILE])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "f2", "f4"])
def test_tiles_and_strips_of_every_compression(tmp_path, compression, tile, dtype):
    path = tmp_path / "movie.tif"
    frames = counts(dtype, mean=9) - np.dtype(dtype).type(np.dtype(dtype).kind != "u")
    layout = {"tile": tile} if tile else {"rowsperstrip": 10}
    for predictor in (None, 3 if np.dtype(dtype).kind == "f" else 2)[: 1 if compression in {None, "packbits"} else 2]:
        for byteorder, bigtiff in (("<", False), (">", True)):
            options = {"compression": compression, "predictor": predictor, "byteorder": byteorder, "bigtiff": bigtiff}
            np.testing.assert_array_equal(written(path, frames, **options, **layout), frames)
            assert_as_written(path, frames)


@pytest.mark.parametrize("dtype", ["u4", "i4", "u8", "i8", "f8"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": True}, {"tile": TILE}], ids=str)
def test_wide_numbers_become_float32(tmp_path, dtype, options):
    path = tmp_path / "movie.tif"
    if "predictor" in options and np.dtype(dtype).itemsize == 8 and dtype != "f8":
        options = {"compression": "zlib"}  # tifffile writes no differences of such
    frames = counts(dtype, mean=1000)
    movie = assert_as_written(path, written(path, frames, **options))
    assert movie.dtype == np.float32
    assert movie.encoded() is None


def test_numbers_beyond_float32_are_found(tmp_path):
    frames = counts("f8")
    frames[1, 5, 7] = 1e300
    written(tmp_path / "movie.tif", frames)
    movie = open_movie(tmp_path / "movie.tif")
    assert np.isfinite(list(movie.frames())).all()
    assert [remark.code for remark in movie.remarks] == ["unbelievable-pixels"]


@pytest.mark.parametrize("mode", ["F", "I"])
def test_differences_as_libtiff_writes_them(tmp_path, mode):
    path = tmp_path / "movie.tif"
    frames = np.random.default_rng(4).normal(5, 2, (HEIGHT, WIDTH)).astype({"F": "f4", "I": "i4"}[mode])[None]
    Image.fromarray(frames[0], mode).save(path, compression="tiff_lzw", tiffinfo={317: 2})
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].predictor == 2
    np.testing.assert_array_equal(np.asarray(Image.open(path)), frames[0])
    assert_as_written(path, frames)


def test_a_frame_of_one_bit_a_pixel_is_read_as_libtiff_reads_it(tmp_path):
    frames = counts("u1") > 0
    path = tmp_path / "movie.tif"
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:])
    movie = assert_as_written(path, frames)
    assert movie.dtype == np.uint8


@pytest.mark.parametrize(("bits", "dtype"), [(2, "u1"), (4, "u1"), (12, "u2")])
def test_frames_of_few_bits_a_pixel(tmp_path, bits, dtype):
    """The first pixel lies in the highest bits, and each row begins a byte (TIFF 6.0)."""
    path = tmp_path / "movie.tif"
    frames = np.minimum(counts(dtype, mean=2.0, shape=(FRAMES, HEIGHT, 71)), (1 << bits) - 1)
    rows = [
        np.packbits(np.unpackbits(row.astype(">u2").view("u1")).reshape(-1, 16)[:, 16 - bits :]).tobytes()
        for row in frames.reshape(-1, 71)
    ]
    stored = np.frombuffer(b"".join(rows), "u1").reshape(FRAMES, HEIGHT, -1)
    with tifffile.TiffWriter(path) as file:
        for frame in stored:
            file.write(frame, photometric="minisblack", metadata=None, contiguous=False)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for page in file.pages:
            page.tags["BitsPerSample"].overwrite(bits)
            page.tags["ImageWidth"].overwrite(71)
    assert_as_written(path, frames)


def test_the_first_bit_may_be_the_lowest(tmp_path):
    path = tmp_path / "movie.tif"
    frames = counts()
    turned = np.packbits(np.unpackbits(frames[..., None], axis=3)[..., ::-1], axis=3)[..., 0]
    written(path, turned, extratags=[(65100, 3, 1, 2, True)])
    content, field = path.read_bytes(), struct.pack("<HHI", 65100, 3, 1)
    assert content.count(field) == FRAMES
    path.write_bytes(content.replace(field, struct.pack("<HHI", 266, 3, 1)))  # FillOrder
    assert_as_written(path, frames)


def test_pages_of_several_layouts_are_one_movie(tmp_path):
    path = tmp_path / "movie.tif"
    frames = counts("u2")
    with tifffile.TiffWriter(path, byteorder=">") as file:
        for frame, options in zip(
            frames, [{"compression": "lzw"}, {"tile": TILE}, {"compression": "zstd"}], strict=True
        ):
            file.write(frame, photometric="minisblack", metadata=None, contiguous=False, **options)
    movie = assert_as_written(path, frames)
    assert movie.encoded() is None


def test_a_tiled_gain_reference_is_read(tmp_path):
    gain = np.random.default_rng(1).normal(1, 0.1, (HEIGHT, WIDTH)).astype("f4")
    written(tmp_path / "gain.tif", [gain], tile=TILE, compression="zstd", predictor=3)
    np.testing.assert_array_equal(first_image(tmp_path / "gain.tif"), gain)


@pytest.mark.parametrize(
    ("frame", "options", "named"),
    [
        (counts(shape=(9, 8, 3)), {"photometric": "rgb"}, r"3 values a pixel \(RGB colour\), not one"),
        (counts(shape=(3, 9, 8)), {"photometric": "rgb", "planarconfig": "separate"}, "each in a plane of its own"),
        (counts(shape=(4, 16, 16)), {"volumetric": True, "tile": (16, 16)}, "volume of 4 sections"),
        (counts(shape=(16, 16)), {"compression": "jpeg"}, r"JPEG \(TIFF compression 7\), which is not read"),
        (counts("c8", shape=(16, 16)), {}, r"64 bits \(complex\), which are not read"),
    ],
)
@pytest.mark.parametrize("metadata", [None, {}], ids=["bare", "with tifffile's description"])
def test_what_is_no_image_of_counts_is_refused_by_its_reason(tmp_path, frame, options, named, metadata):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, frame, metadata=metadata, **{"photometric": "minisblack", **options})
    with pytest.raises(UnsupportedFormat, match=rf"movie\.tif: frame 1 (is|has) a? ?.*{named}") as refused:
        open_movie(path)
    assert "tif2mrc" in refused.value.hint


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "lzma", None])
def test_a_corrupt_or_missing_tile_is_named(tmp_path, compression):
    path = tmp_path / "movie.tif"
    written(path, counts(), tile=TILE, compression=compression)
    with tifffile.TiffFile(path) as file:
        offset, bytes_of_tile = file.pages[1].dataoffsets[4], file.pages[1].databytecounts[4]
    content = bytearray(path.read_bytes())
    if compression:
        content[offset : offset + bytes_of_tile] = b"\xfe" * bytes_of_tile
        path.write_bytes(content)
        with pytest.raises(UnreadableMovie, match=r"movie\.tif: frame 2, tile 5 is corrupt"):
            list(open_movie(path).frames())
    movie = open_movie(path)
    path.write_bytes(content[: offset + 5])
    with pytest.raises(UnreadableMovie, match="frame 2, tile 5 is corrupt"):
        list(movie.frames(1))


def test_a_tile_beyond_the_end_is_not_whole(tmp_path):
    path = tmp_path / "movie.tif"
    written(path, counts(), tile=TILE, compression="zstd")
    with tifffile.TiffFile(path) as file:
        header, last = file.pages[2].offset, file.pages[2].dataoffsets[-1]
    assert header < last  # the header of a page comes before its tiles
    path.write_bytes(path.read_bytes()[: last + 2])
    assert missing_structure(path) == "tile 12 of frame 3 lies beyond the end of the file"


@pytest.mark.parametrize("compression", [None, "zstd", "packbits"])
def test_tiles_that_are_not_written_yet(tmp_path, compression):
    path = tmp_path / "movie.tif"
    frames = counts(shape=(4, 256, 256))
    written(path, frames, tile=(64, 64), compression=compression)
    assert missing_structure(path) is None
    content = path.read_bytes()
    for written_part in (0.3, 0.6, 0.9):
        cut = int(len(content) * written_part)
        path.write_bytes(content[:cut] + bytes(len(content) - cut))
        assert missing_structure(path), written_part


@pytest.mark.parametrize(("photometric", "told"), [("miniswhite", "0 is white"), ("palette", "palette of colours")])
def test_values_that_a_header_calls_inverted_or_coloured_are_used_as_they_are(tmp_path, photometric, told):
    path = tmp_path / "movie.tif"
    frames = counts()
    more = {"colormap": np.zeros((3, 256), "u2")} if photometric == "palette" else {}
    written(path, frames, photometric=photometric, **more)
    movie = assert_as_written(path, frames)
    (remark,) = movie.remarks
    assert remark.code == "values-judged"
    assert told in remark.text
