"""Every kernel is compiled for every generation of devices by NVRTC, which needs no device and no driver.

CUDA 12's NVRTC comes with `make install`. Where `pip install nvidia-cuda-nvrtc nvidia-cuda-nvcc-cu12` has been run too,
CUDA 13's compiles them as well, and ptxas says which registers and memory each takes.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_on_host import cuda_on_host

KERNELS = Path(__file__).parents[4] / "preprocess/backends/cuda/kernels"
FILES = sorted(path.stem for path in KERNELS.glob("*.cu"))
DEVICES = {
    12: ["sm_70", "sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"],
    13: ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_110", "sm_120"],
}
"""What each CUDA's compiler knows of what has been sold since 2017."""
NVRTC = {12: ("nvidia.cuda_nvrtc", "lib/libnvrtc.so.12"), 13: ("nvidia.cu13", "lib/libnvrtc.so.13")}
REGISTERS_A_BLOCK, SHARED_BYTES = 1 << 16, 48 << 10
"""What a block may take at most, on every device."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NVRTC's wheel is installed on Linux alone")


def part_of_cuda(package: str, file: str) -> Path | None:
    """Return a file of one of NVIDIA's packages; None if it is not installed."""
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return None
    folders = [] if spec is None else spec.submodule_search_locations or []
    return next((Path(folder) / file for folder in folders if (Path(folder) / file).exists()), None)


def nvrtc(cuda: int = 12) -> ctypes.CDLL:
    library = part_of_cuda(*NVRTC[cuda])
    if library is None and cuda == 13:
        pytest.skip("CUDA 13's NVRTC is not installed: pip install nvidia-cuda-nvrtc")
    assert library is not None, "NVRTC is not installed: make install"
    return ctypes.CDLL(str(library))


def compiled(code: str, name: str, device: str, cuda: int = 12) -> bytes:
    """Return a device's own code (`sm_…`), or what all from it on have in common (`compute_…`)."""
    library, program = nvrtc(cuda), ctypes.c_void_p()
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


def source_of(file: str, frame_type: str | None = None, **defines: int) -> str:
    with cuda_on_host() as cuda:
        return cuda.module("sources").source(file, **({"FRAME": frame_type} if frame_type else {}), **defines)


@pytest.mark.parametrize(
    ("cuda", "device"), [(cuda, device) for cuda, devices in DEVICES.items() for device in devices]
)
@pytest.mark.parametrize("file", FILES)
def test_every_kernel_for_every_device(file: str, cuda: int, device: str) -> None:
    text = (KERNELS / f"{file}.cu").read_text()
    names = [line.split("(")[0].split()[1] for line in text.splitlines() if line.startswith("KERNEL ")]
    binary = compiled(source_of(file), f"{file}.cu", device, cuda)
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


def resources_of(code: str, name: str, device: str, folder: Path) -> dict[str, dict[str, int]]:
    """Return what each kernel takes of a device, as ptxas reports it: registers a thread, bytes a block or thread."""
    ptxas = part_of_cuda("nvidia.cuda_nvcc", "bin/ptxas")
    if ptxas is None:
        pytest.skip("ptxas is not installed: pip install nvidia-cuda-nvcc-cu12")
    ptx = folder / f"{name}.ptx"
    ptx.write_bytes(compiled(code, name, device.replace("sm_", "compute_")).rstrip(b"\0"))
    given = [str(ptxas), "-v", f"-arch={device}", str(ptx), "-o", str(folder / "out.cubin")]
    told = subprocess.run(given, capture_output=True, text=True, check=True).stderr
    found = {}
    for kernel, spill, used in re.findall(
        r"Function properties for (\w+)\n.*?(\d+) bytes spill stores.*?\n.*?(Used .*)", told
    ):
        shared, registers = re.search(r"(\d+) bytes smem", used), re.search(r"Used (\d+) registers", used)
        found[kernel] = {
            "registers": int(registers[1]) if registers else 0,
            "spill": int(spill),
            "shared": int(shared[1]) if shared else 0,
        }
    return found


def threads_of(file: str) -> int:
    """Return how many threads the file's kernels have in a block: few where each works on a long strip."""
    return 64 if file in {"lzw", "inflate"} else 256


@pytest.mark.parametrize("file", FILES)
def test_every_kernel_fits_into_a_block_and_keeps_its_numbers_in_registers(file: str, tmp_path: Path) -> None:
    threads = threads_of(file)
    for device in ("sm_75", "sm_90"):
        found = resources_of(source_of(file, THREADS=threads), file, device, tmp_path)
        assert found, "ptxas reports no kernel"
        for kernel, takes in found.items():
            assert takes["registers"] * threads <= REGISTERS_A_BLOCK, (device, kernel)
            assert takes["shared"] <= SHARED_BYTES, (device, kernel)
            assert takes["spill"] == 0, (device, kernel, takes)


def test_a_kernel_that_takes_too_much_is_seen(tmp_path: Path) -> None:
    code = """extern "C" __global__ void greedy(float* at) {
        __shared__ float held[12288];
        held[threadIdx.x] = at[threadIdx.x];
        __syncthreads();
        at[threadIdx.x] = held[(int)at[0]];
    }"""
    assert resources_of(code, "greedy", "sm_90", tmp_path)["greedy"]["shared"] == SHARED_BYTES
