"""Which kernels a process uses: those in C where they were compiled, else numba's."""

from __future__ import annotations

import pytest

from preprocess.backends.compiled.available import kernels_are_missing
from preprocess.backends.cpu.kernel_set import KernelSet


def test_kernels_in_c_are_used_where_they_were_compiled() -> None:
    if kernels_are_missing():
        pytest.skip("kernels in C were not compiled: install a C compiler and run make install again")
    kernels = KernelSet()
    assert kernels.are_compiled
    assert kernels.warp_and_sum.__self__.__class__.__name__ == "KernelCalls"


def test_numba_has_every_kernel() -> None:
    kernels = KernelSet("numba")
    assert not kernels.are_compiled
    assert hasattr(kernels.warp_and_sum, "py_func")


def test_a_kernel_that_nobody_has_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no kernel 'spin'"):
        KernelSet().spin  # noqa: B018
