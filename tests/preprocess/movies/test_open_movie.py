"""Movies of every format come back as they were written, and bad ones are refused by name."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import imagecodecs
import mrcfile
import numpy as np
import pytest
import tifffile

from preprocess.errors import AcquisitionUnknown, UnreadableMovie, UnsupportedFormat
from preprocess.movies import open_movie
from preprocess.settings import EerSettings
from preprocess.simulation import write_eer, write_mrc, write_tiff

HEIGHT, WIDTH, FRAMES = 37, 50, 5


@pytest.fixture(name="counts")
def _counts() -> list[np.ndarray]:
    random = np.random.default_rng(11)
    return [random.poisson(0.9, (HEIGHT, WIDTH)).astype(np.uint8) for _ in range(FRAMES)]


def same(read: list[np.ndarray], written: list[np.ndarray]) -> bool:
    return len(read) == len(written) and all(np.array_equal(a, b) for a, b in zip(read, written, strict=True))


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate"])
@pytest.mark.parametrize("rows_per_strip", [None, 1, 8])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
def test_tiff_comes_back_upside_down(tmp_path, counts, compression, rows_per_strip, dtype):
    path = tmp_path / "movie.TIFF"
    written = [frame.astype(dtype) for frame in counts]
    write_tiff(path, written, compression=compression, rows_per_strip=rows_per_strip, pixel_size_angstrom=0.83)
    movie = open_movie(path, threads=2)
    assert (movie.format, movie.frame_count, movie.height, movie.width) == ("tiff", FRAMES, HEIGHT, WIDTH)
    assert movie.dtype == np.dtype(dtype)
    assert movie.header_pixel_size_angstrom == pytest.approx(0.83, rel=1e-5)
    read = list(movie.frames())
    assert same(read, written)
    assert all(frame.dtype == np.dtype(dtype) for frame in read)
    assert same([frame[::-1] for frame in tifffile.imread(path)], written)  # stored upside down, by another's reading


@pytest.mark.parametrize("options", [{"byteorder": ">"}, {"bigtiff": True}, {"byteorder": ">", "bigtiff": True}])
def test_tiff_of_other_byte_orders_and_sizes(tmp_path, counts, options):
    path = tmp_path / "movie.tif"
    written = [frame.astype(np.uint16) * 1000 for frame in counts]
    with tifffile.TiffWriter(path, **options) as file:
        for frame in written:
            file.write(frame, photometric="minisblack", compression="lzw", predictor=True, metadata=None)
    assert same([frame[::-1] for frame in open_movie(path).frames()], written)


def test_tiff_written_as_one_contiguous_series(tmp_path, counts):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, np.stack(counts), photometric="minisblack", metadata=None, rowsperstrip=7)
    assert same([frame[::-1] for frame in open_movie(path).frames()], counts)


@pytest.mark.parametrize(("mode", "dtype"), [(0, "i1"), (1, "i2"), (2, "f4"), (6, "u2"), (12, "f2")], ids=str)
def test_mrc_modes_as_mrcfile_reads_them(tmp_path, counts, mode, dtype):
    path = tmp_path / "movie.mrcs"
    sign = -1 if dtype != "u2" else 1
    written = [(frame.astype(np.int16) * sign).astype(dtype) for frame in counts]
    write_mrc(path, written, frame_count=FRAMES, mode=mode, pixel_size_angstrom=1.2, extended_header_bytes=512)
    movie = open_movie(path)
    assert (movie.format, movie.frame_count, movie.height, movie.width) == ("mrc", FRAMES, HEIGHT, WIDTH)
    assert movie.dtype == np.dtype(dtype)
    assert movie.header_pixel_size_angstrom == pytest.approx(1.2)
    assert same(list(movie.frames()), written)
    with mrcfile.open(path, permissive=True) as other:
        assert same(list(other.data), written)


@pytest.mark.parametrize("dtype", ["i1", ">i2", ">f4", "f2", "u2"])
def test_mrc_written_by_mrcfile(tmp_path, counts, dtype):
    path = tmp_path / "movie.MRC"
    with mrcfile.new(path) as file:
        file.set_data(np.stack(counts).astype(dtype))
        file.voxel_size = 1.0
    movie = open_movie(path)
    assert movie.header_pixel_size_angstrom is None  # 1.0 Å is what nobody filled in
    assert same(list(movie.frames()), counts)
    assert all(frame.dtype.isnative for frame in movie.frames())


def test_unsigned_bytes_by_imods_flag_and_by_range(tmp_path, counts):
    bright = [frame + np.uint8(200) for frame in counts]
    flagged, by_range = tmp_path / "flagged.mrc", tmp_path / "by_range.mrc"
    write_mrc(flagged, bright, frame_count=FRAMES, mode=0, unsigned_bytes=True)
    assert same(list(open_movie(flagged).frames()), bright)
    header = bytearray(flagged.read_bytes())
    struct.pack_into("<2i", header, 152, 0, 0)
    struct.pack_into("<3f", header, 76, 200.0, 210.0, 201.0)
    by_range.write_bytes(header)
    assert same(list(open_movie(by_range).frames()), bright)


def test_4_bit_mrc_with_odd_width_and_in_bytes_of_half_width(tmp_path, counts):
    path = tmp_path / "odd.mrc"
    odd = [frame[:, :-1] for frame in counts]
    write_mrc(path, odd, frame_count=FRAMES, mode=101)
    assert path.stat().st_size == 1024 + FRAMES * HEIGHT * WIDTH // 2
    assert same(list(open_movie(path).frames()), odd)
    half = tmp_path / "half.mrc"
    write_mrc(half, counts, frame_count=FRAMES, mode=101)
    header = bytearray(half.read_bytes())
    struct.pack_into("<i", header, 0, WIDTH // 2)
    struct.pack_into("<i", header, 12, 0)
    struct.pack_into("<2i", header, 152, 1146047817, 16)
    half.write_bytes(header)
    assert same(list(open_movie(half).frames()), counts)


def test_eer_in_groups_of_hardware_frames(tmp_path, counts):
    path = tmp_path / "movie.eer"
    write_eer(path, counts, hardware_frames_per_frame=6, pixel_size_angstrom=0.9, total_dose_e_per_px=FRAMES * 0.9)
    movie = open_movie(path, EerSettings(hardware_frames_per_frame=6), threads=2)
    assert (movie.format, movie.frame_count, movie.height, movie.width) == ("eer", FRAMES, HEIGHT, WIDTH)
    assert movie.header_pixel_size_angstrom == pytest.approx(0.9)
    assert movie.header_total_dose_e_per_a2 == pytest.approx(FRAMES * 0.9 / 0.81)
    assert movie.dtype == np.uint8
    assert same(list(movie.frames()), counts)
    assert movie.remarks == ()
    hardware = tifffile.imread(path)  # tifffile's own reading of the same events
    assert same(list(hardware.reshape(FRAMES, 6, HEIGHT, WIDTH).sum(axis=1)), counts)


def test_eer_drops_and_names_what_fills_no_group(tmp_path, counts):
    path = tmp_path / "movie.eer"
    write_eer(path, counts, hardware_frames_per_frame=6)
    movie = open_movie(path, EerSettings(hardware_frames_per_frame=7))
    assert movie.frame_count == 4
    assert [str(remark) for remark in movie.remarks] == [
        "the last 2 of 30 hardware frames do not fill a group of 7 and are left out"
    ]
    assert len(list(movie.frames())) == 4


@pytest.mark.parametrize(
    ("total_dose_e_per_px", "settings", "group"),
    [
        (None, EerSettings(), 3),  # nothing known: 32, but at least 10 frames
        (81.0, EerSettings(), 1),  # 100 e/Å² in 30 hardware frames
        (0.81 * 15, EerSettings(), 2),  # 1 e/Å² in 2 hardware frames
        (0.81 * 15, EerSettings(dose_per_frame_e_per_a2=2.6), 5),
    ],
)
def test_eer_grouping_by_dose_and_by_default(tmp_path, counts, total_dose_e_per_px, settings, group):
    path = tmp_path / "movie.eer"
    write_eer(
        path, counts, hardware_frames_per_frame=6, pixel_size_angstrom=0.9, total_dose_e_per_px=total_dose_e_per_px
    )
    assert open_movie(path, settings).hardware_frames_per_frame == group


def test_eer_by_dose_needs_a_known_dose(tmp_path, counts):
    path = tmp_path / "movie.eer"
    write_eer(path, counts)
    with pytest.raises(AcquisitionUnknown, match="total dose"):
        open_movie(path, EerSettings(dose_per_frame_e_per_a2=1.0))


def test_a_large_eer_group_does_not_overflow(tmp_path):
    path = tmp_path / "movie.eer"
    full = np.full((32, 32), 300, np.uint16)
    write_eer(path, [full], hardware_frames_per_frame=300)
    (read,) = open_movie(path, EerSettings(hardware_frames_per_frame=300)).frames()
    assert np.array_equal(read, full)


def test_part_of_a_movie(tmp_path, counts):
    path = tmp_path / "movie.tif"
    write_tiff(path, counts)
    movie = open_movie(path, threads=2)
    assert same(list(movie.frames(1, 3)), counts[1:3])
    assert same(list(movie.frames(3)), counts[3:])
    taken = movie.frames()
    assert np.array_equal(next(taken), counts[0])
    taken.close()  # leaving early ends the threads that decode ahead


def test_the_content_decides_how_a_movie_is_read(tmp_path, counts):
    tiff, misnamed = tmp_path / "movie.tif", tmp_path / "movie.mrc"
    write_tiff(tiff, counts)
    shutil.copy(tiff, misnamed)
    movie = open_movie(misnamed)
    assert movie.format == "tiff"
    assert same(list(movie.frames()), counts)


def test_a_missing_file_a_folder_and_an_empty_file(tmp_path):
    empty, folder = tmp_path / "empty.tif", tmp_path / "folder.mrc"
    empty.touch()
    folder.mkdir()
    with pytest.raises(UnreadableMovie, match=r"none\.tif: No such file"):
        open_movie(tmp_path / "none.tif")
    with pytest.raises(UnreadableMovie, match=r"folder\.mrc: Is a directory"):
        open_movie(folder)
    with pytest.raises(UnreadableMovie, match=r"empty\.tif: the file is empty"):
        open_movie(empty)


def test_an_unknown_extension_and_unknown_content(tmp_path):
    (tmp_path / "movie.dm4").write_bytes(b"x" * 5000)
    (tmp_path / "noise.mrc").write_bytes(b"\xff" * 5000)
    with pytest.raises(UnsupportedFormat, match=r"movie\.dm4: \.dm4 is not the extension"):
        open_movie(tmp_path / "movie.dm4")
    with pytest.raises(UnreadableMovie, match="neither MRC, TIFF nor EER"):
        open_movie(tmp_path / "noise.mrc")


@pytest.mark.parametrize("mode", [3, 4])
def test_complex_mrc_modes_are_not_movies(tmp_path, counts, mode):
    path = tmp_path / "movie.mrc"
    write_mrc(path, [frame.astype(np.float32) for frame in counts], frame_count=1, mode=2)
    content = bytearray(path.read_bytes())
    struct.pack_into("<i", content, 12, mode)
    path.write_bytes(content)
    with pytest.raises(UnsupportedFormat, match=f"MRC mode {mode}"):
        open_movie(path)


@pytest.mark.parametrize("extension", ["tif", "mrc", "eer"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.999])
def test_a_truncated_movie_names_the_frame_or_the_header(tmp_path, counts, extension, part):
    whole, cut = tmp_path / f"whole.{extension}", tmp_path / f"cut.{extension}"
    _write(whole, counts)
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(UnreadableMovie, match=r"cut\.\w+: .*(frame|header)"):
        open_movie(cut)


def _write(path: Path, counts: list[np.ndarray]) -> None:
    if path.suffix == ".tif":
        write_tiff(path, counts)
    elif path.suffix == ".mrc":
        write_mrc(path, counts, frame_count=len(counts))
    else:
        write_eer(path, counts)


@pytest.mark.parametrize(("compression", "damage"), [("lzw", b"\xff" * 40), ("deflate", b"\0" * 40)])
def test_a_corrupt_strip_is_named(tmp_path, counts, compression, damage):
    path = tmp_path / "movie.tif"
    write_tiff(path, counts, compression=compression, rows_per_strip=10)
    with tifffile.TiffFile(path) as file:
        offset = file.pages[2].dataoffsets[1]
    content = bytearray(path.read_bytes())
    content[offset + 5 : offset + 45] = damage
    path.write_bytes(content)
    read = []
    with pytest.raises(UnreadableMovie, match=r"movie\.tif: frame 3, strip 2 is corrupt"):
        read.extend(open_movie(path, threads=2).frames())
    with pytest.raises(UnreadableMovie):
        list(open_movie(path).frames(2))
    assert len(list(open_movie(path).frames(3))) == 2  # the others can be read


def test_a_corrupt_hardware_frame_is_named(tmp_path, counts):
    path = tmp_path / "movie.eer"
    write_eer(path, counts, hardware_frames_per_frame=2)
    with tifffile.TiffFile(path) as file:
        offset = file.pages[4].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(UnreadableMovie, match="hardware frame 5 is corrupt"):
        list(open_movie(path, EerSettings(hardware_frames_per_frame=2)).frames())


def test_a_frame_of_another_size_or_type_is_named(tmp_path, counts):
    size, kind = tmp_path / "size.tif", tmp_path / "kind.tif"
    write_tiff(size, [counts[0], counts[1], counts[2][:-1]])
    write_tiff(kind, [counts[0], counts[1].astype(np.uint16)])
    with pytest.raises(UnreadableMovie, match="frame 3 is 36 x 50 px, frame 1 is 37 x 50 px"):
        open_movie(size)
    with pytest.raises(UnreadableMovie, match="frame 2 has another number type"):
        open_movie(kind)


def test_a_movie_cut_after_it_was_opened_is_named(tmp_path, counts):
    path = tmp_path / "movie.mrc"
    write_mrc(path, counts, frame_count=FRAMES, mode=0)
    movie = open_movie(path)
    with path.open("r+b") as file:
        file.truncate(1024 + 3 * HEIGHT * WIDTH + 5)
    with pytest.raises(UnreadableMovie, match="frame 4 of 5 is cut off"):
        list(movie.frames())


@pytest.mark.parametrize("unit", ["INCH", "CENTIMETER"])
def test_printers_resolutions_are_no_pixel_size(tmp_path, counts, unit):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, counts[0], photometric="minisblack", metadata=None, resolution=(72, 72), resolutionunit=unit)
    assert open_movie(path).header_pixel_size_angstrom is None


def test_lzw_of_old_libtiff_is_read(tmp_path, counts):
    """A strip that decodes to more than its rows (padded by some writers) keeps its rows."""
    path = tmp_path / "movie.tif"
    write_tiff(path, counts[:1], rows_per_strip=HEIGHT)
    longer = imagecodecs.lzw_encode(counts[0][::-1].tobytes() + bytes(64))
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        places = page.tags["StripOffsets"].valueoffset, page.tags["StripByteCounts"].valueoffset
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, places[0], len(content))
    struct.pack_into("<I", content, places[1], len(longer))
    path.write_bytes(bytes(content) + longer)
    assert same(list(open_movie(path).frames()), counts[:1])


@pytest.mark.parametrize("name", ["movie.tif", "movie.mrc", "movie.eer"])
def test_a_movie_that_vanishes_while_it_is_read(tmp_path, counts, name):
    path = tmp_path / name
    _write(path, counts)
    movie = open_movie(path)
    path.unlink()
    with pytest.raises(UnreadableMovie, match=f"{name}: No such file"):
        list(movie.frames())


def run_length_code(places, pixels, skip_bits, sub_pixel_bits):
    """Return the code of electron events bit by bit, slowly, as the format is described."""
    longest, bits, position = (1 << skip_bits) - 1, "", 0
    for place in [*places, None]:
        gap = (pixels if place is None else place) - position
        while gap >= longest:
            bits, gap = bits + "1" * skip_bits, gap - longest
        bits += format(gap, f"0{skip_bits}b")[::-1]
        if place is not None:
            bits, position = bits + "1" * sub_pixel_bits, place + 1
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


@pytest.mark.parametrize(
    ("compression", "skip_bits", "sub_pixel_bits"),
    [(65000, 8, 4), (65001, 7, 4), (65002, 7, 2), (65002, 8, 2)],
    ids=str,
)
def test_eer_of_every_code_and_odd_strips(tmp_path, compression, skip_bits, sub_pixel_bits):
    written, lengths = [], set()
    file = bytearray(b"II+\0" + struct.pack("<HHQ", 8, 0, 0))
    link_at = 8
    for count in range(1, 9):
        places = np.sort(np.random.default_rng(count).choice(HEIGHT * WIDTH, count * 7, replace=False))
        strip = run_length_code(places.tolist(), HEIGHT * WIDTH, skip_bits, sub_pixel_bits)
        lengths.add(len(strip) % 2)
        written.append(np.bincount(places, minlength=HEIGHT * WIDTH).reshape(HEIGHT, WIDTH))
        fields = [(256, WIDTH), (257, HEIGHT), (259, compression), (273, len(file)), (278, HEIGHT), (279, len(strip))]
        fields += [(65007, skip_bits), (65008, sub_pixel_bits // 2), (65009, sub_pixel_bits // 2)]
        file += strip
        struct.pack_into("<Q", file, link_at, len(file))
        file += struct.pack("<Q", len(fields)) + b"".join(struct.pack("<HHQQ", tag, 16, 1, n) for tag, n in fields)
        link_at = len(file)
        file += bytes(8)
    (tmp_path / "movie.eer").write_bytes(file)
    assert lengths == {0, 1}
    assert same(list(open_movie(tmp_path / "movie.eer", EerSettings(hardware_frames_per_frame=1)).frames()), written)


@pytest.mark.parametrize(
    ("surplus", "told"), [(12, "12 bytes after the 3 frames"), (2 * HEIGHT * WIDTH, "2 more frames")]
)
def test_bytes_after_the_last_frame_of_an_mrc_file_are_named(tmp_path, counts, surplus, told):
    path = tmp_path / "movie.mrc"
    write_mrc(path, counts[:3], frame_count=3, mode=0)
    assert open_movie(path).remarks == ()
    with path.open("ab") as file:
        file.write(bytes(surplus))
    (remark,) = open_movie(path).remarks
    assert remark.code == "surplus-bytes"
    assert told in remark.text
