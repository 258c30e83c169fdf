"""Runs every kernel in C on random numbers: with a library's path as a program, for sanitizers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from cffi import FFI
from numpy.typing import NDArray

from preprocess.backends.compiled.build_kernels import declarations
from preprocess.backends.compiled.calls import KernelCalls
from preprocess.backends.cpu.patch_spectra import kept_columns
from preprocess.backends.spectrum_layout import CORNER_FREQUENCY, lanczos_taps, ring_indices
from preprocess.geometry.field import DisplacementField
from tests.preprocess.backends.compiled.ctf_kernel_results import ctf_results

ROOT = Path(__file__).parents[4]


def kernels_of(library: Path) -> KernelCalls:
    """Return the kernels of a library that was compiled for a test."""
    ffi = FFI()
    ffi.cdef(declarations(ROOT))
    return KernelCalls(ffi, ffi.dlopen(str(library)))


def results(kernels: KernelCalls) -> dict[str, NDArray[Any]]:
    """Return what each kernel makes of random numbers."""
    random = np.random.default_rng(4)
    found = {}
    for dtype in (np.uint8, np.float16, np.float32):
        frames = random.poisson(3, (3, 70, 301)).astype(dtype)
        for stretch in (1.0, 1.05):
            field = DisplacementField.whole_frame(random.normal(0, 3, (3, 2))).stretched(stretch, 20, (70, 301))
            sums, gain = np.zeros((2, 70, 301), np.float32), random.uniform(0.8, 1.2, (70, 301)).astype(np.float32)
            weights = random.uniform(0.1, 1, (3, 2)).astype(np.float32)
            kernels.warp_and_sum(
                frames, gain, True, *field.by_powers(), field.columns_at_once(301), weights, lanczos_taps(), sums, 0, 70
            )
            found[f"warp_and_sum {dtype.__name__} {stretch}"] = sums
        found[f"raw_sum {dtype.__name__}"] = np.empty((70, 301), np.float32)
        kernels.raw_sum(frames, found[f"raw_sum {dtype.__name__}"], 0, 70)
        for factor in (2, 3, 4):
            found[f"bin_frame {dtype.__name__} {factor}"] = binned = np.empty((70 // factor, 301 // factor), np.float32)
            kernels.bin_frame(frames[0], gain, True, factor, binned, 0, len(binned))
    rings = ring_indices((40, 60))
    kept = kept_columns(rings)
    planes = random.normal(0, 1, (2, 2 * 5 * kept.sum())).astype(np.float32)
    extents, weights = (rings < 200).sum(1), random.uniform(0, 1, 257).astype(np.float32)
    measures = [np.zeros((2, 2, 256)), np.zeros((5, 2, 2)), np.zeros((2, 3))]
    shifts = random.normal(0, 3, (5, 2, 2))
    kernels.measure_patches(planes, kept, np.arange(2), shifts, rings, extents, weights, 60, *measures, 0, 2)
    found |= {f"measure_patches {number}": measure for number, measure in enumerate(measures)}
    transform = (random.normal(0, 1, (64, 51)) + 1j).astype(np.complex64)
    found["add_filtered"] = total = np.zeros((50, 41), np.complex64)
    kernels.add_filtered(transform, 64, 100, weights, CORNER_FREQUENCY, total, 0, 50)
    spectra = (random.normal(0, 1, (3, 40, 31)) + 0.5j).astype(np.complex64)
    rows, columns = spectra[:, :, 0].copy(), spectra[:, 0].copy()
    found["sum_spectra"], found["by_row"] = np.zeros((40, 31), np.complex64), np.zeros((2, 40, 257))
    kernels.sum_spectra(spectra, rows, columns, rings, 60, found["sum_spectra"], found["by_row"], 0, 40)
    found["derivatives"] = np.zeros((40, 3, 5))
    kernels.derivatives(
        spectra, found["sum_spectra"], rows, columns, rings, weights, 60, found["derivatives"], 0, 40
    )  # fmt: skip
    patches, places = np.zeros((2, 33, 61), np.float32), np.array([0, 7])
    kernels.cut_patches(sums[0], places, places[::-1].copy(), weights[:33], weights[:61], patches, 0, 2)
    kernels.taper_frame(patches[0], 0.3, weights[:33], weights[:61], 0, 33)
    found["patches"], found["planes"] = patches, np.zeros((1, 2 * 2 * kept.sum()), np.float32)
    kernels.keep_lowest(found["sum_spectra"][None], 1, 2, kept, found["planes"], 0, 1)
    found["statistics"] = np.zeros((6, 33))
    good = np.ones((33, 61), np.uint8)
    kernels.believe_in_gain(patches[1], good, 0, 33)
    kernels.sum_statistics(patches[0], patches[1], True, good, np.arange(33), found["statistics"], 0, 33)
    kernels.image_statistics(patches[0], found["statistics"], 30, 33)
    kernels.add_image(patches[0], 0.3, patches[1], False, 0, 33)
    found |= _of_pixels(kernels, random) | _of_splitting(kernels, random) | _of_tiles(kernels, random)
    return found | ctf_results(kernels)


def _of_pixels(kernels: KernelCalls, random: np.random.Generator) -> dict[str, NDArray[Any]]:
    found = dict[str, NDArray[Any]]()
    for dtype in (np.uint8, np.float16, np.float32):
        frames = random.poisson(3, (3, 70, 301)).astype(dtype)
        found[f"box_sums {dtype.__name__}"] = np.zeros((3, 3, 5, 5))
        ends = np.arange(6) * 70 // 5, np.arange(6) * 301 // 5
        kernels.box_sums(frames, *ends, 3, found[f"box_sums {dtype.__name__}"], 0, 3)
        targets, sources = np.arange(0, 21070, 999), random.integers(0, 21070, (22, 24))
        rules = targets, sources, np.full(22, 24), targets * 31 % 1009, targets % 13
        kernels.replace_pixels(frames.reshape(3, -1), *rules, 0, 3)
        found[f"replace_pixels {dtype.__name__}"] = frames
    raw, gain = frames[0], random.uniform(0.8, 1.2, (70, 301)).astype(np.float32)
    good, rows = (random.uniform(0, 1, (70, 301)) > 0.1).astype(np.uint8), np.arange(70)
    counts, pixels = np.zeros(70, np.int64), np.arange(0, 21070, 777)
    kernels.list_between(raw, gain, True, good, (1.5, 4.5), rows, counts, np.empty(0, np.int64), 0, 70)
    found["list_between"] = listed = np.empty(counts.sum(), np.int64)
    kernels.list_between(raw, gain, True, good, (1.5, 4.5), rows, np.cumsum(counts) - counts, listed, 0, 70)
    found["around"], found["noise"] = np.empty(len(pixels), np.float32), np.empty((2, 70))
    firsts = np.searchsorted(pixels, np.arange(71) * 301)
    kernels.surroundings(raw, gain, True, good, 5, pixels, firsts, found["around"], found["noise"], 0, 70)
    found["mark_peaks"] = np.empty((70, 301), np.uint8)
    kernels.mark_peaks(raw, gain, True, good, (1.1, 0.2), found["mark_peaks"], counts, 0, 70)
    found["cut_windows"] = np.empty((len(pixels), 49), np.float32)
    kernels.cut_windows(raw, gain, True, good, pixels, 3, found["cut_windows"], 0, len(pixels))
    found["reduce_boxes"] = np.empty((24, 61), np.float32)
    kernels.reduce_boxes(gain, (3, 5), found["reduce_boxes"], 0, 24)
    return found


def _of_splitting(kernels: KernelCalls, random: np.random.Generator) -> dict[str, NDArray[Any]]:
    spectra = (random.normal(0, 1, (5, 40, 31)) + 0.5j).astype(np.complex64)
    fixed, rows, columns = spectra[0].copy(), spectra[:, :, 0].copy(), spectra[:, 0].copy()
    rings, powers, by_row = ring_indices((40, 60)), random.uniform(0.1, 2, (5, 200)), np.zeros((20, 12, 200))
    looked_at, levels = np.arange(0, 40, 2), random.uniform(0.9, 1.1, 5)
    kernels.split_spectra(spectra, fixed, rows, columns, levels, rings, looked_at, powers, 60, True, by_row, 0, 20)
    return {"split_spectra": spectra, "split_spectra fixed": fixed, "split_spectra figures": by_row}


def _of_tiles(kernels: KernelCalls, random: np.random.Generator) -> dict[str, NDArray[Any]]:
    image, window = random.normal(3, 1, (60, 131)).astype(np.float32), random.uniform(0, 1, 37).astype(np.float32)
    image[7, 20] = np.nan
    found = dict[str, NDArray[Any]]()
    for bin_factor in (1, 3):
        rows, statistics = np.empty((20, 37), np.float32), np.empty((3, 20))
        kernels.cut_rows(image, 0, 6, bin_factor, 3.0, 2.5, window, rows, statistics)
        found |= {f"cut_rows {bin_factor}": rows, f"cut_rows statistics {bin_factor}": statistics}
    transforms, columns = (rows + 1j).astype(np.complex64), np.zeros((30, 25), np.complex64)
    kernels.keep_columns(transforms, 3, columns)
    found["cut_columns"] = np.empty((30, 17), np.complex64)
    kernels.cut_columns(columns, 8, window, 0.7, found["cut_columns"])
    found["add_column_powers"] = np.zeros((30, 11), np.float32)
    kernels.add_column_powers(found["cut_columns"], found["add_column_powers"])
    return found


def decode_damaged_strips(kernels: KernelCalls) -> None:
    """Decode LZW strips, damaged and cut off, into exactly as much memory as they need."""
    random = np.random.default_rng(6)
    image = random.poisson(0.3, 5000).astype(np.uint8)
    strip = np.frombuffer(imagecodecs.lzw_encode(image.tobytes()), np.uint8)
    for _ in range(100):
        damaged = strip[: random.integers(1, len(strip) + 1)].copy()
        damaged[random.integers(0, len(damaged), 2)] = random.integers(0, 256, 2)
        kernels.decode_strips(damaged, np.zeros(1, np.int64), np.array([len(damaged)]), np.empty(5000, np.uint8), 5000)


if __name__ == "__main__":
    library = kernels_of(Path(sys.argv[1]))
    results(library)
    decode_damaged_strips(library)
    sys.stdout.write("done\n")
