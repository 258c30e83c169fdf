"""Every kernel with barriers, on little data, and where its barriers are, so that each can be taken away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cuda_on_host import FLAGS, CudaOnHost, cuda_on_host

from preprocess.backends.contract import RING_COUNT, PartPowers
from preprocess.geometry.block_tiles import BlockTiles
from preprocess.geometry.field import DisplacementField
from preprocess.geometry.patches import lay_patches

KERNELS = Path(__file__).parents[2] / "preprocess/backends/cuda/kernels"
SUM_BEGIN = "BARRIER;                                                             \\\n        EACH_THREAD"
SUM_END = "    BARRIER\n"
"""Where the macro ADD_UP has its barriers."""
MORE_THAN_A_BLOCK_HOLDS = 1100
"""Columns; half of them, binned, are more components than a block has room for at a time."""
TWICE_THE_FRAMES_THAT_A_BLOCK_TAKES = 32
_CALL = re.compile(r"\bBARRIER;|\bADD_UP\([^)]*\);")
_NAME = re.compile(r"(?m)^KERNEL (\w+)\(")


@dataclass(frozen=True, slots=True)
class Barrier:
    """One barrier of a kernel, the `number`-th in its text; of an ADD_UP, those in its loop or the one at its end."""

    kernel: str
    number: int
    part: str

    def __str__(self) -> str:
        return f"{self.kernel} {self.number} {self.part}".strip()


def barriers() -> list[Barrier]:
    """Return all barriers of all kernels."""
    found = []
    for _, name, text in _kernels():
        for number, call in enumerate(_CALL.findall(text)):
            parts = ["loop", "end"] if call.startswith("ADD_UP") else [""]
            found += [Barrier(name, number, part) for part in parts]
    return found


def _kernels() -> Iterator[tuple[str, str, str]]:
    """Yield each kernel's file, its name and its text."""
    for path in sorted(KERNELS.glob("*.cu")):
        text = path.read_text("utf-8")
        begins = [found.start() for found in _NAME.finditer(text)]
        for begin, end in zip(begins, [*begins[1:], len(text)], strict=True):
            name = _NAME.match(text[begin:])
            assert name is not None
            yield path.stem, name[1], text[begin:end]


def without(source: str, barrier: Barrier) -> str:
    """Return a file's whole source without one barrier; the same where the kernel is of another file."""
    found = re.search(rf"(?m)^KERNEL {barrier.kernel}\(", source)
    if found is None:
        return source
    head, text = source[: found.start()], source[found.start() :]
    call = list(_CALL.finditer(text))[barrier.number]
    if not barrier.part:
        return head + text[: call.start()] + "((void)0);" + text[call.end() :]
    begin = source.index("#define ADD_UP(values)")
    macro = source[begin : source.index("struct complex64", begin)]
    assert macro.count(SUM_BEGIN) == macro.count(SUM_END) == 1
    if barrier.part == "loop":
        lacking = macro.replace(SUM_BEGIN, SUM_BEGIN.removeprefix("BARRIER;"))
    else:
        lacking = macro.replace(SUM_END, "    ((void)0)\n")
    lacking = lacking.replace("ADD_UP(values)", "ADD_UP_LACKING(values)")
    sums = call[0].replace("ADD_UP(", "ADD_UP_LACKING(")
    return source[:begin] + lacking + source[begin : len(head)] + text[: call.start()] + sums + text[call.end() :]


def run(lacking: Barrier | None = None, repeats: int = 1) -> None:
    """Run all kernels with barriers as real threads, or the one that lacks a barrier so and the others as usual."""
    with cuda_on_host(kernels="usual") as host:
        host.device.flags_of_kernels = {
            barrier.kernel: FLAGS["races"] for barrier in barriers() if lacking in (None, barrier)
        }
        sources = host.module("sources")
        whole = sources.source
        if lacking is not None:
            sources.source = lambda file, **defines: without(whole(file, **defines), lacking)
        for seed in range(repeats):
            _work(host, seed)
        missed = {barrier.kernel for barrier in barriers()} - set(host.device.launches)
        assert not missed, f"not run: {missed}"


def _work(host: CudaOnHost, seed: int) -> None:
    random, backend = np.random.default_rng(seed), host.backend()
    count, height, width = 2 + seed % 3, 24 + 7 * seed, 70 + 11 * seed
    stack = _held(backend, random, (count, height, width))
    stack.box_moments(2, 8)
    stack.frame_sum().surroundings(np.array([5, 99]), 2)
    still, weights = np.zeros((count, 2)), np.ones(RING_COUNT)
    spectra = _held(backend, random, (count, 8 + seed, MORE_THAN_A_BLOCK_HOLDS)).spectra(2)
    spectra.ring_powers(still)
    spectra.derivatives(still, weights)
    spectra.split(still, np.ones(count), PartPowers(*np.full((5, RING_COUNT), 0.5)), take_off=True, every=2)
    layout = lay_patches((height, width), (1, 2), still, bin_factor=1, kept=0.7)
    stack.patch_spectra(layout).measure(np.zeros((count, 2, 2)), weights, [1, 0], 200)
    many = _held(backend, random, (TWICE_THE_FRAMES_THAT_A_BLOCK_TAKES, 16, 64))
    field = DisplacementField(*random.normal(0, 0.02, (2, TWICE_THE_FRAMES_THAT_A_BLOCK_TAKES, 21)))
    many.warped_sums(field, np.ones((1, TWICE_THE_FRAMES_THAT_A_BLOCK_TAKES), np.float32))
    image: Any = stack.warped_sums(DisplacementField.whole_frame(still), np.ones((1, count), np.float32))[0]
    for float32 in (False, True):
        backend.bring_down(image, float32=float32).pixels()
    backend.block_powers(image, BlockTiles((height, width), 1, 8, (0,), (0, 25), 3))


def _held(backend: Any, random: np.random.Generator, shape: tuple[int, int, int]) -> Any:
    frames = random.poisson(5, shape).astype(np.uint8)
    stack = backend.hold(*frames.shape, frames.dtype)
    for index, frame in enumerate(frames):
        stack.put(index, frame)
    return stack
