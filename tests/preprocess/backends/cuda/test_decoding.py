"""Movies decoded by the device's kernels, run on the host, come out as the CPU's decoders make them, bit for bit."""

from __future__ import annotations

import logging
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from cuda_on_host import CudaOnHost, cuda_on_host
from encoded_files import write_eer_of_codes, write_tiff_of_strips
from PIL import Image

from preprocess.backends.choose import choose_backend
from preprocess.errors import UnreadableMovie
from preprocess.movies import Movie, open_movie
from preprocess.movies.frame_groups import FrameGroups
from preprocess.settings import EerSettings
from preprocess.simulation import write_eer, write_mrc

HEIGHT, WIDTH, FRAMES = 66, 150, 4
STRETCHES = "lzw_decode_stretches"
USUAL = EerSettings()


@pytest.fixture(name="imported", scope="module")
def _imported():
    with cuda_on_host() as cuda:
        yield cuda


@pytest.fixture(name="cuda")
def _cuda(imported, caplog):
    imported.device.launches.clear()
    imported.device.copies_down = imported.device.taken = 0  # the memory of the test before is nobody's
    imported.module("decoding")._say_once.cache_clear()
    yield imported
    told = [record.getMessage() for record in caplog.get_records("call")]
    assert not [text for text in told if "decoded by the CPU after all" in text]


def counts(dtype: str = "uint8", shape: tuple[int, ...] = (FRAMES, HEIGHT, WIDTH), mean: float = 0.9) -> np.ndarray:
    drawn = np.random.default_rng(5).poisson(mean, shape)
    return (drawn * 3 - 4 if np.dtype(dtype).kind != "u" else drawn).astype(dtype)


def filled(
    cuda: CudaOnHost, movie: Movie, used: range | None = None, per_group: int = 1, memory_gb: float | None = None
):
    """Return the frames that the device holds, the sums of groups, the remarks, and the fractions told."""
    used = used or range(movie.frame_count)
    backend, groups, told = cuda.backend(memory_gb), FrameGroups.of(len(used), per_group), []
    stack = grouped = backend.hold(len(used), movie.height, movie.width, movie.dtype)
    if not groups.single:
        grouped = backend.hold(len(groups), movie.height, movie.width, groups.sum_dtype(movie.dtype))
    remarks = stack.fill(movie, used, groups, grouped, told.append)
    return stack.frames.get(), grouped.frames.get(), remarks, told


def as_on_cpu(cuda: CudaOnHost, path: Path, settings: EerSettings = USUAL) -> np.ndarray:
    """Compare a movie's frames, all that fit one way of decoding, with the CPU's; return them."""
    movie = open_movie(path, settings, threads=2)
    frames, _, remarks, told = filled(cuda, movie)
    assert remarks == ()
    assert told[-1] == 1
    np.testing.assert_array_equal(frames, np.stack(list(movie.frames())))
    return frames


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("rows_per_strip", [1, 7, HEIGHT])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "float32", "float16"])
def test_tiff_of_every_layout(cuda, tmp_path, monkeypatch, compression, rows_per_strip, dtype):
    monkeypatch.setattr(cuda.module("strips"), "FEWEST_DEFLATE_STRIPS", 1)
    written = counts(dtype)
    for order in "<>":
        for predictor in (False, True)[: 1 + (compression is not None and np.dtype(dtype).kind != "f")]:
            options = {"compression": compression, "predictor": predictor, "rowsperstrip": rows_per_strip}
            path = tmp_path / f"{order}{predictor}.tif"
            tifffile.imwrite(path, written, byteorder=order, photometric="minisblack", **options)
            frames = as_on_cpu(cuda, path)
            np.testing.assert_array_equal(frames[:, ::-1], written)


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("uint8", {"tile": (16, 32), "compression": "lzw"}),
        ("uint16", {"compression": "zstd", "predictor": True}),
        ("int32", {"compression": "lzw"}),
        ("float32", {"compression": "zlib", "predictor": True}),
    ],
)
def test_tiff_that_devices_do_not_decode_comes_from_the_cpu_and_it_is_said(cuda, tmp_path, dtype, options):
    path, written = tmp_path / "a.tif", counts(dtype)
    tifffile.imwrite(path, written, photometric="minisblack", **options)
    movie = open_movie(path, threads=2)
    frames, _, remarks, _ = filled(cuda, movie)
    np.testing.assert_array_equal(frames[:, ::-1], written)
    assert frames.dtype == movie.dtype
    assert remarks == ("frames were decoded on the CPU: their encoding is read by the CPU alone",)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_imagejs_stack_of_one_header(cuda, tmp_path, byteorder):
    written = counts("uint16")
    with tifffile.TiffWriter(tmp_path / "a.tif", imagej=True, byteorder=byteorder) as file:
        file.write(written, truncate=True)
    np.testing.assert_array_equal(as_on_cpu(cuda, tmp_path / "a.tif")[:, ::-1], written)


@pytest.mark.parametrize("mean", [0.02, 0.9, 60])
def test_one_lzw_strip_a_frame_is_shared_out_by_stretches(cuda, tmp_path, monkeypatch, mean):
    monkeypatch.setattr(cuda.module("strips"), "LONG_STRIP_BYTES", 64)
    written = counts(shape=(3, 300, 400), mean=mean)
    tifffile.imwrite(tmp_path / "a.tif", written, compression="lzw", rowsperstrip=300, photometric="minisblack")
    frames = as_on_cpu(cuda, tmp_path / "a.tif")
    np.testing.assert_array_equal(frames[:, ::-1], written)
    assert STRETCHES in cuda.device.launches


@pytest.mark.parametrize("rows_per_strip", [1, 100, 600])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_lzw_as_libtiff_writes_it(cuda, tmp_path, rows_per_strip, dtype):
    written = counts(dtype, (3, 600, 200), mean=20)
    images = [Image.fromarray(frame) for frame in written]
    options = {"compression": "tiff_lzw", "tiffinfo": {278: rows_per_strip}}
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:], **options)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].rowsperstrip == rows_per_strip
    np.testing.assert_array_equal(as_on_cpu(cuda, tmp_path / "a.tif")[:, ::-1], written)
    assert (STRETCHES in cuda.device.launches) == (rows_per_strip == 600)


def test_strips_with_early_clears_and_none(cuda, tmp_path, monkeypatch):
    """Encoders that see worse compression clear a table that is not full; others go on with one that is."""
    monkeypatch.setattr(cuda.module("strips"), "LONG_STRIP_BYTES", 64)
    content = counts(shape=(60_000,))
    parts = [(0, 20_000), (20_000, 20_500), (20_500, 20_501), (20_501, 60_000)]
    codes = [lzw_codes(content[begin:end]) for begin, end in parts]
    early = lzw_bits([256, *codes[0], 256, *codes[1], 256, 256, *codes[2], 256, *codes[3], 257])
    unclear = lzw_bits([*[code for code in codes[3] if code != 256][:3000], 257])  # begins without a Clear
    plain = imagecodecs.lzw_encode(content.tobytes())
    write_tiff_of_strips(tmp_path / "a.tif", [[early], [plain]], (200, 300), 5)
    np.testing.assert_array_equal(as_on_cpu(cuda, tmp_path / "a.tif")[:, ::-1], [content.reshape(200, 300)] * 2)
    write_tiff_of_strips(tmp_path / "b.tif", [[unclear]], (40, 100), 5)
    as_on_cpu(cuda, tmp_path / "b.tif")
    assert STRETCHES in cuda.device.launches


def test_a_long_strip_that_cannot_be_shared_out_is_for_the_cpu(cuda, tmp_path, monkeypatch, caplog):
    """One thread of a GPU would take seconds for it, and a GPU that draws a screen ends such a kernel."""
    monkeypatch.setattr(cuda.module("strips"), "LONG_STRIP_BYTES", 64)
    monkeypatch.setattr(cuda.module("strips"), "MOST_BYTES_ALONE", 1000)
    content = counts(shape=(2000,))
    begins, ends = [256, *lzw_codes(content[:500])], [*lzw_codes(content[500:]), 257]
    many = lzw_bits([*begins, *[256] * 3000, *ends])  # more tables than there are slots for stretches
    write_tiff_of_strips(tmp_path / "a.tif", [[many], [imagecodecs.lzw_encode(content.tobytes())]], (20, 100), 5)
    np.testing.assert_array_equal(as_on_cpu(cuda, tmp_path / "a.tif")[:, ::-1], [content.reshape(20, 100)] * 2)
    assert "frame 1 was decoded by the CPU after all" in caplog.text
    assert "frame 2 was" not in caplog.text
    caplog.clear()  # as a rule no frame may be


def test_a_clear_that_is_none_is_found_out(cuda, tmp_path, monkeypatch):
    """Where an early Clear hides a stretch's end, the place of the next one may hold 256 by chance."""
    monkeypatch.setattr(cuda.module("strips"), "LONG_STRIP_BYTES", 64)
    codes = lzw_codes(counts(shape=(60_000,), mean=60))
    full = codes.index(256)
    first_two = codes[: codes.index(256, full + 1) + 1]
    strip, _ = lzw_mistakable(first_two, full)
    rows = (
        len(imagecodecs.lzw_decode(lzw_bits([256, *first_two, 257]))) // 100 + 20
    )  # some of the third stretch, and more
    write_tiff_of_strips(tmp_path / "a.tif", [[strip]], (rows, 100), 5)
    as_on_cpu(cuda, tmp_path / "a.tif")
    assert cuda.device.launches.count("lzw_decode_strips") == 1

    endings = cuda.device.launches
    assert endings.index(STRETCHES) < endings.index("lzw_decode_strips")


def width(index: int) -> int:
    """Bits of the code `index`, counted from a Clear."""
    return 9 + (index >= 254) + (index >= 766) + (index >= 1790)


def lzw_codes(content: np.ndarray) -> list[int]:
    """Return the codes that imagecodecs makes of bytes, without the first Clear and the End."""
    strip = imagecodecs.lzw_encode(content.tobytes())
    bits = format(int.from_bytes(strip, "big"), f"0{8 * len(strip)}b")
    codes, at, index = [], 9, 0
    while (code := int(bits[at : at + width(index)], 2)) != 257:
        codes.append(code)
        at += width(index)
        index = 0 if code == 256 else index + 1
    return codes


def lzw_texts(codes: list[int]) -> list[str]:
    texts, index = [], 0
    for code in codes:
        texts.append(format(code, f"0{width(index)}b"))
        index = 0 if code == 256 else index + 1
    return texts


def lzw_bits(codes: list[int], also: str | None = None) -> bytes:
    """Return the strip of some codes."""
    bits = also or "".join(lzw_texts(codes))
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def lzw_mistakable(first_two: list[int], full: int, filling: int = 0) -> tuple[bytes, int]:
    """Return a strip whose third stretch ends early, while bits where a full one would end are those of a Clear.

    Its fourth stretch holds bytes of one value. Also return how many codes the third one has.
    """
    head = len("".join(lzw_texts([256, *first_two])))
    clear = head + 9 * 254 + 10 * 512 + 11 * 1024 + 12 * (full - 1790)
    one = clear + 3  # 256 is 000100000000
    for early in range(1, 20):
        texts = lzw_texts([256, *first_two, *[7] * early, 256, *[filling] * 4000])
        ends = np.cumsum([len(text) for text in texts])
        above_last = int(ends[np.searchsorted(ends, one, side="right")]) - 1 - one
        if above_last < 8:  # the bit belongs to a byte, which becomes another one
            bits = "".join(texts)
            return lzw_bits([], bits[:clear] + format(256, "012b") + bits[clear + 12 :]), early
    raise AssertionError


@pytest.mark.parametrize(("filling", "is_found_out"), [(0, False), (255, True)])
def test_what_lies_behind_a_clear_tells_whether_it_is_one(cuda, filling, is_found_out):
    codes = lzw_codes(counts(shape=(60_000,), mean=60))
    full = codes.index(256)
    strip, early = lzw_mistakable(codes[: codes.index(256, full + 1) + 1], full, filling)
    strips, cupy = cuda.module("strips"), cuda.cupy
    block = cupy.asarray(np.frombuffer(strip, np.uint8))
    table, first_slots = cupy.asarray(np.array([[0, len(strip), 0, 1]])), cupy.asarray(np.array([0, 9]))
    stretches, found = cupy.zeros((9, strips.STRETCH_NUMBERS), np.int64), cupy.zeros(1, np.int32)
    strips._lzw("lzw_find_stretches")((1,), block, table, 1, first_slots, stretches, found)
    assert stretches.get()[:4, 1].tolist() == [0, full, full, early if is_found_out else full]


@pytest.mark.parametrize(
    ("mode", "dtype"), [(0, "i1"), (1, "i2"), (2, "f4"), (6, "u2"), (12, "f2"), (101, "u1")], ids=str
)
@pytest.mark.parametrize("odd", [0, 1])
def test_mrc_of_every_mode(cuda, tmp_path, mode, dtype, odd):
    written = counts(dtype)[:, :, : WIDTH - odd]
    write_mrc(tmp_path / "a.mrc", written, frame_count=FRAMES, mode=mode, extended_header_bytes=512)
    np.testing.assert_array_equal(as_on_cpu(cuda, tmp_path / "a.mrc"), written)


def test_half_floats_of_every_bit_pattern(cuda, tmp_path):
    patterns = np.arange(65536, dtype=np.uint16).view(np.float16).reshape(1, 256, 256)
    tifffile.imwrite(tmp_path / "a.tif", patterns, photometric="minisblack")
    movie = open_movie(tmp_path / "a.tif")
    frames = filled(cuda, movie)[0]
    np.testing.assert_array_equal(frames[0, ::-1], patterns[0].astype(np.float32))
    np.testing.assert_array_equal(np.signbit(frames[0, ::-1]), np.signbit(patterns[0]))


@pytest.mark.parametrize("upsampling", [1, 2])
@pytest.mark.parametrize("group", [1, 3, 8])
@pytest.mark.parametrize("piece_bits", [40, 64, 1 << 14])
def test_every_electron_is_counted(cuda, tmp_path, monkeypatch, upsampling, group, piece_bits):
    monkeypatch.setattr(cuda.module("events"), "PIECE_BITS", piece_bits)
    write_eer(tmp_path / "a.eer", counts(shape=(3, 44, 60), mean=0.2), hardware_frames_per_frame=8)
    settings = EerSettings(hardware_frames_per_frame=group, upsampling=upsampling)
    assert as_on_cpu(cuda, tmp_path / "a.eer", settings).sum() > 100


def test_large_groups_of_electrons_are_counted_in_16_bits(cuda, tmp_path):
    write_eer(tmp_path / "a.eer", [np.full((7, 9), 300)], hardware_frames_per_frame=300)
    frames = as_on_cpu(cuda, tmp_path / "a.eer", EerSettings(hardware_frames_per_frame=300))
    assert frames.dtype == np.uint16
    assert np.all(frames == 300)


@pytest.mark.parametrize("bits", [(8, 2, 2), (7, 2, 2), (7, 1, 1), (4, 4, 4), (9, 3, 2), (12, 1, 3)], ids=str)
@pytest.mark.parametrize("upsampling", [1, 2])
def test_events_of_every_code(cuda, tmp_path, bits, upsampling):
    random = np.random.default_rng(sum(bits))
    compression = {(8, 2, 2): 65000, (7, 2, 2): 65001}.get(bits, 65002)
    coded = [random.integers(0, 256, 400, np.uint8) & 0x5B for _ in range(12)]  # not too many full runs
    strips = [[bytes(raw[:133]), bytes(raw[133:])] if len(raw) % 2 else [bytes(raw)] for raw in coded]
    strips[3], strips[4] = [strips[3][0][:101]], [strips[4][0][:50], strips[4][0][51:]]  # an odd length; two strips
    write_eer_of_codes(tmp_path / "a.eer", strips, (512, 2048), compression, [bits] * 12, gap=b"\xff\0\xff")
    settings = EerSettings(hardware_frames_per_frame=4, upsampling=upsampling)
    assert as_on_cpu(cuda, tmp_path / "a.eer", settings).any()


def test_a_movie_of_different_compressions_is_read_by_the_cpu(cuda, tmp_path, caplog):
    written = counts()
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for frame, compression in zip(written, ["lzw", None, "zlib", "lzw"], strict=True):
            file.write(frame, compression=compression, photometric="minisblack", metadata=None)
    movie = open_movie(tmp_path / "a.tif")
    assert movie.encoded() is None
    for _ in range(2):
        frames, _, remarks, told = filled(cuda, movie)
        np.testing.assert_array_equal(frames[:, ::-1], written)
        assert remarks == ("frames were decoded on the CPU: their encoding is read by the CPU alone",)
        assert told == [0.25, 0.5, 0.75, 1]
    assert len(caplog.records) == 1  # said once


def test_the_cpu_decodes_where_the_device_lacks_memory(cuda, tmp_path, caplog):
    tifffile.imwrite(tmp_path / "a.tif", counts(), compression="lzw", photometric="minisblack")
    frames, _, remarks, _ = filled(cuda, open_movie(tmp_path / "a.tif"), memory_gb=1e-3)
    np.testing.assert_array_equal(frames[:, ::-1], counts())
    assert remarks == ()  # the same movie gives the same result, whoever else takes the device's memory
    assert "frames are decoded on the CPU: the device has no memory left for it" in caplog.text


def test_part_of_a_movie_in_batches_that_take_turns(cuda, tmp_path, monkeypatch):
    monkeypatch.setattr(cuda.module("device_memory"), "SCRATCH_BYTES", 2 * HEIGHT * WIDTH)
    written = counts(shape=(11, HEIGHT, WIDTH))
    tifffile.imwrite(tmp_path / "a.tif", written, compression="lzw", rowsperstrip=5, photometric="minisblack")
    frames, _, _, told = filled(cuda, open_movie(tmp_path / "a.tif"), range(1, 10))
    np.testing.assert_array_equal(frames[:, ::-1], written[1:10])
    assert told == pytest.approx([2 / 9, 4 / 9, 6 / 9, 8 / 9, 1])
    monkeypatch.setattr(cuda.module("batches"), "BLOCK_BYTES", 10)  # less than any frame
    frames, _, _, told = filled(cuda, open_movie(tmp_path / "a.tif"))
    np.testing.assert_array_equal(frames[:, ::-1], written)
    assert len(told) == 11
    write_eer(tmp_path / "a.eer", written[:, :40, :60], hardware_frames_per_frame=8)
    monkeypatch.setattr(cuda.module("batches"), "BLOCK_BYTES", 5000)
    movie = open_movie(tmp_path / "a.eer", EerSettings(hardware_frames_per_frame=8))
    frames, _, _, told = filled(cuda, movie, range(2, 9))
    np.testing.assert_array_equal(frames, written[2:9, :40, :60])
    assert 1 < len(told) <= 7


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "float32", "float16"])
def test_sums_of_groups_are_the_cpus(cuda, tmp_path, dtype):
    written = counts(dtype, (7, HEIGHT, WIDTH)) * np.array(0.37 if "float" in dtype else 1, dtype)
    tifffile.imwrite(tmp_path / "a.tif", written, photometric="minisblack")
    movie = open_movie(tmp_path / "a.tif")
    _, sums, _, _ = filled(cuda, movie, per_group=3)
    groups = FrameGroups.of(7, 3)
    cpu = choose_backend("cpu", threads=1)
    stack, grouped = (cpu.hold(n, HEIGHT, WIDTH, d) for n, d in ((7, movie.dtype), (2, groups.sum_dtype(movie.dtype))))
    stack.fill(movie, range(7), groups, grouped, lambda _: None)
    np.testing.assert_array_equal(sums, grouped.frames)
    assert sums.dtype == grouped.frames.dtype


def test_frames_never_come_down(cuda, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", counts(), compression="lzw", rowsperstrip=9, photometric="minisblack")
    movie, backend = open_movie(tmp_path / "a.tif"), cuda.backend()
    stack, groups = backend.hold(FRAMES, HEIGHT, WIDTH, movie.dtype), FrameGroups.of(FRAMES, 2)
    grouped = backend.hold(2, HEIGHT, WIDTH, groups.sum_dtype(movie.dtype))
    stack.fill(movie, range(FRAMES), groups, grouped, lambda _: None)
    assert cuda.device.copies_down == 1  # what became of the strips


def damaged(path: Path, page: int, strip: int, damage: bytes) -> None:
    with tifffile.TiffFile(path) as file:
        offset = file.pages[page].dataoffsets[strip]
    content = bytearray(path.read_bytes())
    content[offset + 5 : offset + 5 + len(damage)] = damage
    path.write_bytes(content)


@pytest.mark.parametrize(("compression", "damage"), [("lzw", b"\xff" * 40), ("zlib", b"\0" * 40)])
def test_a_corrupt_strip_is_named(cuda, tmp_path, monkeypatch, compression, damage):
    monkeypatch.setattr(cuda.module("strips"), "FEWEST_DEFLATE_STRIPS", 1)
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, counts(), compression=compression, rowsperstrip=10, photometric="minisblack")
    damaged(path, 3, 1, damage)
    damaged(path, 2, 4, damage)
    movie = open_movie(path)
    with pytest.raises(UnreadableMovie, match=r"movie\.tif: frame 3, strip 5 is corrupt"):
        filled(cuda, movie)
    np.testing.assert_array_equal(filled(cuda, movie, range(2))[0][:, ::-1], counts()[:2])


def test_a_corrupt_hardware_frame_is_named(cuda, tmp_path):
    write_eer(tmp_path / "movie.eer", counts(), hardware_frames_per_frame=2)
    damaged(tmp_path / "movie.eer", 4, 0, b"\xff" * 400)
    with pytest.raises(UnreadableMovie, match="hardware frame 5 is corrupt"):
        filled(cuda, open_movie(tmp_path / "movie.eer", EerSettings(hardware_frames_per_frame=2)))


@pytest.mark.parametrize("name", ["movie.mrc", "movie.tif", "movie.eer"])
def test_a_movie_that_is_cut_or_vanishes_is_named_as_on_the_cpu(cuda, tmp_path, name):
    path = tmp_path / name
    write = {
        ".mrc": lambda: write_mrc(path, counts(), frame_count=FRAMES, mode=0),
        ".tif": lambda: tifffile.imwrite(path, counts(), photometric="minisblack", metadata=None, rowsperstrip=9),
        ".eer": lambda: write_eer(path, counts(), hardware_frames_per_frame=2),
    }
    write[path.suffix]()
    movie = open_movie(path, EerSettings(hardware_frames_per_frame=2))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 2 // 3)
    texts = []
    for read in (lambda: list(movie.frames()), lambda: filled(cuda, movie)):
        with pytest.raises(UnreadableMovie) as caught:
            read()
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    path.unlink()
    with pytest.raises(UnreadableMovie, match=f"{name}: No such file"):
        filled(cuda, movie)


def test_a_strip_longer_than_its_rows_keeps_them_and_a_shorter_one_is_corrupt(cuda, tmp_path):
    image = counts()[0]
    content, half = image.tobytes(), image.size // 2
    longer = imagecodecs.lzw_encode(content + bytes(64))
    write_tiff_of_strips(tmp_path / "a.tif", [[longer]], image.shape, 5)
    surplus = [[content[:half] + b"more", content[half:] + b"and more"], [content[:half], content[half:] + b"!"]]
    write_tiff_of_strips(tmp_path / "b.tif", surplus, image.shape, 1, rows_per_strip=HEIGHT // 2)
    for name in ("a.tif", "b.tif"):
        for frame in as_on_cpu(cuda, tmp_path / name):
            np.testing.assert_array_equal(frame[::-1], image)
    lacking = [[content[: half - 1], content[half - 1 :]]]
    write_tiff_of_strips(tmp_path / "c.tif", lacking, image.shape, 1, rows_per_strip=HEIGHT // 2)
    with pytest.raises(UnreadableMovie, match="frame 1, strip 1 is corrupt"):
        filled(cuda, open_movie(tmp_path / "c.tif"))


def test_a_frame_that_only_the_device_finds_corrupt_is_the_cpus(cuda, tmp_path, monkeypatch, caplog):
    tifffile.imwrite(tmp_path / "a.tif", counts(), photometric="minisblack")
    monkeypatch.setattr(cuda.module("strips").StripDecoder, "suspects", lambda _: [2])
    with caplog.at_level(logging.WARNING):
        frames = filled(cuda, open_movie(tmp_path / "a.tif"))[0]
    np.testing.assert_array_equal(frames[:, ::-1], counts())
    assert "frame 3 was decoded by the CPU after all" in caplog.text
    caplog.clear()


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_packed_pixels_of_a_tiff(cuda, tmp_path, monkeypatch, compression):
    """Real ones are too large for a host; only the rule that knows them by their size is another here."""
    monkeypatch.setattr("preprocess.movies.tiff.has_size_of_packed_frames", lambda *size: size == (HEIGHT, WIDTH // 2))
    first, second = np.minimum(counts(shape=(2, FRAMES, HEIGHT, WIDTH // 2)), 15)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for frame in first | second << 4:
            file.write(frame, photometric="minisblack", compression=compression, rowsperstrip=20, metadata=None)
    frames = as_on_cpu(cuda, tmp_path / "a.tif")
    assert np.array_equal(frames[0, -1, :4], [first[0, 0, 0], second[0, 0, 0], first[0, 0, 1], second[0, 0, 1]])


def test_deflate_in_few_strips_is_for_the_cpu_and_in_many_for_the_device(cuda, tmp_path, monkeypatch):
    written = counts()
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, written, compression="zlib", rowsperstrip=10, photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        strips = len(file.pages) * len(file.pages[0].dataoffsets)
    for fewest, decoded in ((strips + 1, 0), (strips, 1)):
        monkeypatch.setattr(cuda.module("strips"), "FEWEST_DEFLATE_STRIPS", fewest)
        cuda.device.launches.clear()
        _, _, remarks, _ = filled(cuda, open_movie(path))
        assert cuda.device.launches.count("inflate_strips") == decoded
        assert [f"deflate in {strips} strips" in remark for remark in remarks] == [True] * (1 - decoded)
