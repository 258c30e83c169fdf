"""What the kernels' contract is tested on: backends on the CPU and on CUDA, the latter on the host too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(params=["cpu", "cpu with numba", "cuda on the host", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return every backend that computes: the CPU's with both kinds of kernels, CUDA's on the host and on a device."""
    from preprocess.backends.choose import choose_backend
    from preprocess.backends.cpu.backend import CpuBackend
    from preprocess.backends.cpu.kernel_set import KernelSet
    from preprocess.errors import DeviceError

    if request.param == "cuda on the host":
        yield request.getfixturevalue("cuda_here")
        return
    if request.param == "cpu with numba":
        yield CpuBackend(2, KernelSet("numba"))
        return
    try:
        yield choose_backend(request.param, threads=2)
    except DeviceError as error:
        pytest.skip(f"{error} {error.hint}")


@pytest.fixture(params=["on the host", pytest.param("on a device", marks=pytest.mark.gpu)])
def cuda(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return CUDA's backend, on the host and on a device where there is one."""
    from preprocess.backends.choose import choose_backend
    from preprocess.errors import DeviceError

    if request.param == "on the host":
        yield request.getfixturevalue("cuda_here")
        return
    try:
        yield choose_backend("cuda:0")
    except DeviceError as error:
        pytest.skip(f"{error} {error.hint}")


@pytest.fixture
def cuda_here() -> Iterator[Any]:
    """Return CUDA's backend with its kernels compiled for the host."""
    from cuda_on_host import cuda_on_host

    with cuda_on_host() as host:
        yield host.backend()


@pytest.fixture
def in_c() -> Any:
    """Return the kernels in C."""
    from preprocess.backends.compiled.available import compiled_kernels

    kernels = compiled_kernels()
    if kernels is None:
        pytest.skip("kernels in C were not compiled: install a C compiler and run make install again")
    return kernels
