"""What the CUDA backend does before and after motion, on the host: room for large movies, whole movies, sanitizers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from cuda_on_host import cuda_on_host
from sanitized_run import run_sanitized

from preprocess.exposure.acquisition import Acquisition
from preprocess.geometry.block_tiles import lay_block_tiles
from preprocess.geometry.field import DisplacementField
from preprocess.outputs.pictures import thumbnail_boxes
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings, GainSettings
from preprocess.simulation import write_gain, write_mrc

SUPER_RESOLUTION = (40, 8184, 11520)  # frames of a K3 camera: height and width
SUMS = 7


def test_a_super_resolution_movie_fits_in_eight_gigabytes_before_and_after_motion() -> None:
    count, height, width = SUPER_RESOLUTION
    with cuda_on_host(7_500_000_000, dry=True) as host:  # a card of 8 GB keeps some for itself
        backend = host.backend()
        stack = backend.hold(count, height, width, np.dtype(np.uint8))
        kept, stack.gain = (backend.device.memory.array("images", (height, width), "f4") for _ in range(2))
        total = stack.frame_sum()
        total.exclude(np.array([5, 6, 7]))
        total.surroundings(np.array([12]), 4)
        del total
        still = DisplacementField.whole_frame(np.zeros((count, 2)))
        images = list(stack.warped_sums(still, np.ones((SUMS, count), np.float32)))
        assert all(hasattr(image, "get") for image in images), "sums had to go to the host"
        stack.release()
        whole = backend.filtered_sum(images, np.ones((SUMS, 4), np.float32), (height, width), np.ones((2, 9), "f4"))
        assert whole.shape == (height, width)
        assert backend.reduced(whole, thumbnail_boxes(height, width)).size < 2000 * 2000
        assert backend.block_powers(whole, lay_block_tiles(height, width, 0.72)).powers.shape == (9, 1055, 528)
        assert host.device.launches.count("add_filtered") == SUMS
        del kept


def test_the_gain_reference_is_given_back_when_memory_is_short() -> None:
    with cuda_on_host(10_000_000) as host:
        backend, gain = host.backend(), np.full((1000, 1000), 2, np.float32)
        assert backend.upload(gain) is backend.upload(gain)
        stack = backend.hold(8, 1000, 1000, np.dtype(np.uint8))  # which fit where the gain reference is not
        stack.release()
        np.testing.assert_array_equal(backend.upload(gain).get(), gain)


@pytest.mark.parametrize(("rows", "decision"), [(1, "kept"), (-1, "turned")])
def test_a_faint_movie_gets_the_same_figures_and_float16_images_as_on_the_cpu(
    tmp_path: Path, rows: int, decision: str
) -> None:
    random = np.random.default_rng(5)
    gain = random.normal(1, 0.05, (220, 310)).astype(np.float32)
    gain[7, 9] = 0
    frames = [random.poisson(2.5 / np.maximum(gain, 0.5)).astype(np.uint8) for _ in range(8)]
    for frame in frames:
        frame[100:103, 200], frame[150, 150], frame[151, 151], frame[0, 0] = 0, 90, 14, 0
    write_mrc(tmp_path / "a.mrcs", frames, frame_count=len(frames), mode=0)
    write_gain(tmp_path / "gain.mrc", gain[::rows], movie_format="mrc")
    settings = AlignmentSettings(gain=GainSettings(path=tmp_path / "gain.mrc"), unweighted=True, patches=(1, 1))
    known = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300, dose_per_frame_e_per_a2=0.83)

    def align(device: str):
        chosen = replace(settings, device=device, threads=1)
        return process_movie(tmp_path / "a.mrcs", tmp_path / device[:4], settings=chosen, acquisition=known)

    with cuda_on_host() as host:
        on_device = align("cuda:0")
        assert {"sum_frames", "average_rows", "write_half", "reduce_boxes", "add_powers"} <= set(host.device.launches)
    on_cpu = align("cpu")
    one, other = (json.loads(result.file("results").read_text()) for result in (on_cpu, on_device))
    assert one["quality"]["gain_fit"]["decision"] == decision
    assert one["quality"]["dead_pixels"] == 4
    assert one["quality"]["hot_pixels"] >= 1
    assert other["quality"] == one["quality"]
    for role in ("micrograph", "micrograph_unweighted"):
        here, there = (mrcfile.read(result.file(role)) for result in (on_cpu, on_device))
        assert here.dtype == there.dtype == np.float16
        difference = np.abs(here.astype(np.float32) - there.astype(np.float32))
        assert (difference <= 2 * np.spacing(np.abs(here).max())).all()


SANITIZED = """
import numpy as np
from cuda_on_host import cuda_on_host
from preprocess.geometry.block_tiles import BlockTiles
from preprocess.geometry.field import DisplacementField
from preprocess.geometry.replacements import find_replacements

random = np.random.default_rng(0)
frames = random.poisson(3, (3, 45, 131)).astype(np.uint8)
gain = random.normal(1, 0.05, frames.shape[1:]).astype(np.float32)
pixels = np.array([0, 700, 45 * 131 - 1])
with cuda_on_host(kernels="sanitized") as host:
    backend = host.backend()
    stack = backend.hold(*frames.shape, frames.dtype)
    for index, frame in enumerate(frames):
        stack.put(index, frame)
    stack.set_gain(backend.upload(gain))
    total = stack.frame_sum()
    total.exclude(pixels)
    assert total.excluded().tolist() == pixels.tolist()
    total.surroundings(total.between(0, 100), 4)
    replacements = find_replacements(pixels, frames.shape[1:])
    stack.replace_pixels(replacements)
    stack.set_gain(backend.with_pixels(backend.upload(gain), replacements.targets, replacements.gains(gain)))
    images = [backend.upload(random.normal(0, 9, gain.shape).astype(np.float32)) for _ in range(2)]
    for shape in (gain.shape, (14, 42)):
        whole = backend.filtered_sum(images, random.uniform(0, 1, (2, 9)).astype("f4"), shape, np.ones((2, 5), "f4"))
    backend.filtered_sum(images, np.ones((2, 9), np.float32), gain.shape)
    for float32 in (False, True):
        backend.bring_down(images[0], float32=float32).pixels()
    backend.reduced(images[0], (4, 7))
    backend.block_powers(images[0], BlockTiles((22, 65), 2, 16, (0, 6), (0, 25, 49), 7))
    if {too_far}:
        host.module("sources").kernel("pixels", "set_pixels")(
            (1,), images[0], *(host.cupy.zeros(3, kind) for kind in ("i4", "f4")), 200
        )
print("clean")
"""


@pytest.mark.parametrize("too_far", [False, True])
def test_sanitizers_find_nothing_in_these_kernels_and_would_find_it(too_far: bool) -> None:
    done = run_sanitized(SANITIZED.replace("{too_far}", str(too_far)))
    if too_far:
        assert done.returncode != 0
        assert "AddressSanitizer" in done.stderr
    else:
        assert (done.returncode, done.stdout) == (0, "clean\n"), done.stderr
