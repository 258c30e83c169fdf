"""Every kernel is compiled for every generation of devices by NVRTC, which needs no device and no driver."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from pathlib import Path

import pytest
from cuda_on_host import cuda_on_host

KERNELS = Path(__file__).parents[4] / "preprocess/backends/cuda/kernels"
FILES = sorted(path.stem for path in KERNELS.glob("*.cu"))
DEVICES = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_89", "sm_90"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NVRTC's wheel is installed on Linux alone")


def nvrtc() -> ctypes.CDLL:
    spec = importlib.util.find_spec("nvidia.cuda_nvrtc")
    assert spec is not None, "NVRTC is not installed: make install"
    assert spec.submodule_search_locations is not None
    (library,) = (Path(spec.submodule_search_locations[0]) / "lib").glob("libnvrtc.so.*")
    return ctypes.CDLL(str(library))


def compiled(code: str, name: str, device: str) -> bytes:
    """Return a device's own code (`sm_…`), or what all from it on have in common (`compute_…`)."""
    library, program = nvrtc(), ctypes.c_void_p()
    given = [f"--gpu-architecture={device}".encode(), b"--std=c++14"]
    assert library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), name.encode(), 0, None, None) == 0
    try:
        status = library.nvrtcCompileProgram(program, len(given), (ctypes.c_char_p * len(given))(*given))
        assert status == 0, text_of(library, program, "ProgramLog").decode()
        return text_of(library, program, "CUBIN" if device.startswith("sm_") else "PTX")
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def text_of(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    assert getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)) == 0
    text = ctypes.create_string_buffer(size.value)
    assert getattr(library, f"nvrtcGet{what}")(program, text) == 0
    return text.raw


def source_of(file: str, frame_type: str | None = None) -> str:
    with cuda_on_host() as cuda:
        return cuda.module("sources").source(file, **({"FRAME": frame_type} if frame_type else {}))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("file", FILES)
def test_every_kernel_for_every_device(file: str, device: str) -> None:
    text = (KERNELS / f"{file}.cu").read_text()
    names = [line.split("(")[0].split()[1] for line in text.splitlines() if line.startswith("KERNEL ")]
    binary = compiled(source_of(file), f"{file}.cu", device)
    assert names
    assert all(name.encode() in binary for name in names)


@pytest.mark.parametrize("frame_type", ["u8", "i8", "u16", "i16", "u32", "i32", "float"])
@pytest.mark.parametrize("file", [file for file in FILES if "#ifndef FRAME\n" in (KERNELS / f"{file}.cu").read_text()])
def test_every_kernel_for_every_type_of_frames(file: str, frame_type: str) -> None:
    """As far as the code that all devices have in common."""
    assert b".visible .entry" in compiled(source_of(file, frame_type), f"{file}.cu", "compute_70")


def test_a_mistake_is_told() -> None:
    with pytest.raises(AssertionError, match=r'wrong\.cu.*identifier "nothing" is undefined'):
        compiled('extern "C" __global__ void wrong(int* at) { *at = nothing; }', "wrong.cu", "sm_70")
