"""Kernels with barriers as real threads of the host, under ThreadSanitizer."""

from __future__ import annotations

from sanitized_run import run_sanitized

RUN = """
import numpy as np
from cuda_on_host import cuda_on_host
from preprocess.geometry.field import DisplacementField
from preprocess.geometry.patches import lay_patches

frames = np.random.default_rng(0).poisson(5, (2, 24, 70)).astype(np.uint8)
with cuda_on_host(kernels="races") as host:
    sources = host.module("sources")
    found = sources.source
    sources.source = lambda file, **defines: found(file, **defines).replace({barrier!r}, {instead!r}, 1)
    stack = host.backend().hold(*frames.shape, frames.dtype)
    for index, frame in enumerate(frames):
        stack.put(index, frame)
    spectra = stack.spectra(2)
    {more}
print("clean")
"""
MORE = """spectra.ring_powers(np.zeros((2, 2)))
    spectra.derivatives(np.zeros((2, 2)), np.ones(256))
    field = DisplacementField(*np.random.default_rng(1).normal(0, 0.02, (2, 2, 21)))
    stack.warped_sums(field, np.ones((1, 2), np.float32))
    assert {"bin_frames", "sum_aligned", "differentiate", "warp_tiles"} <= set(host.device.launches)"""
BARRIER = "for (int apart = THREADS / 2; apart > 0; apart /= 2) {                   \\\n        BARRIER;"


def program(*, instead: str = BARRIER, more: str = "pass") -> str:
    return RUN.replace("{barrier!r}", repr(BARRIER)).replace("{instead!r}", repr(instead)).replace("{more}", more)


def test_kernels_with_barriers_have_no_races() -> None:
    done = run_sanitized(program(more=MORE), ("tsan",))
    assert (done.returncode, done.stdout) == (0, "clean\n"), done.stderr[-3000:]


def test_a_barrier_that_is_taken_away_is_a_race() -> None:
    done = run_sanitized(program(instead=BARRIER.replace("BARRIER;", "       ;")), ("tsan",))
    assert done.returncode == 66, done.stderr[-3000:]
    assert "data race" in done.stderr
