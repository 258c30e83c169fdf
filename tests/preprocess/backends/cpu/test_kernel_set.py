"""Which kernels a process uses: those in C where they were compiled, else numba's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from preprocess.backends.compiled.available import kernel_trouble
from preprocess.backends.compiled.calls import KernelCalls
from preprocess.backends.cpu.kernel_set import KernelSet

CALLERS = Path(__file__).parents[4] / "preprocess/backends/cpu"


def called_kernels() -> set[str]:
    """Return the names of the kernels that the CPU's backend calls."""
    texts = [path.read_text("utf-8") for path in CALLERS.glob("*.py")]
    return {name for text in texts for name in re.findall(r"\bkernels\.(\w+)", text)} - {"are_compiled"}


def test_kernels_in_c_are_used_where_they_were_compiled() -> None:
    if kernel_trouble():
        pytest.skip("kernels in C were not compiled: install a C compiler and run make install again")
    kernels = KernelSet()
    assert kernels.are_compiled
    assert kernels.warp_and_sum.__self__.__class__.__name__ == "KernelCalls"


def test_c_and_numba_have_every_kernel() -> None:
    kernels, called = KernelSet("numba"), called_kernels()
    assert not kernels.are_compiled
    assert {"warp_and_sum", "cut_rows", "split_spectra"} < called
    for name in called:
        assert hasattr(getattr(kernels, name), "py_func"), name
        assert hasattr(KernelCalls, name), name


def test_a_kernel_that_nobody_has_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no kernel 'spin'"):
        KernelSet().spin  # noqa: B018
