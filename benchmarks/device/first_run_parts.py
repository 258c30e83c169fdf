"""The parts of the first run that use the device, each in a process of its own; see `first_run`.

    python -m benchmarks.device.first_run_parts OUT PART

One JSON object a line goes to stdout. A part that finds a difference between the device and the CPU says where in
`differ`, which is empty where there is none.
"""

from __future__ import annotations

import cProfile
import hashlib
import json
import os
import pstats
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import mrcfile
import numpy as np
from numpy.typing import NDArray

from benchmarks.device.first_run_kernels import WANTED
from preprocess.backends.choose import choose_backend
from preprocess.backends.compiled.chosen_kernels import NVCOMP_VARIABLE
from preprocess.errors import PreprocessError
from preprocess.exposure.acquisition import Acquisition
from preprocess.movies import Movie, open_movie
from preprocess.movies.frame_groups import FrameGroups
from preprocess.pipeline.process_movie import process_movie
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings
from preprocess.simulation import SimulationSettings, simulate_movie
from preprocess.simulation.writers import write_tiff

DEVICE = "cuda:0"
SHAPE = tuple(int(number) for number in os.environ.get("FIRST_RUN_SHAPE", "40x8184x11520").split("x"))
"""Frames, height and width of movies for decoding: K3 in super-resolution."""
IS_LARGE = SHAPE[1] > 4000
KNOWN = Acquisition(pixel_size_angstrom=0.83, voltage_kv=300, dose_per_frame_e_per_a2=1.2)
LARGEST_SHIFT_DIFFERENCE_PX, LEAST_CORRELATION = 0.02, 0.999
REPEATS = 3
DISTINCT = 4
"""Different frames of a movie of noise: making and comparing 40 would take longer than all that is measured."""
ENVIRONMENT_OF_POOL = "FIRST_RUN_NO_POOL"


def say(**what: Any) -> None:
    """Print one object."""
    sys.stdout.write(json.dumps(what, default=str) + "\n")
    sys.stdout.flush()


def facts(_out: Path) -> None:
    """Tell what the device is, and how fast it copies."""
    from preprocess.backends.cuda import gauges  # noqa: PLC0415 - CuPy is an extra

    say(device=asdict(gauges.described(0)))
    say(copy_bytes_per_s=asdict(gauges.copy_rates(0)))


def kernels(_out: Path) -> None:
    """Compile the kernels that do most of the work; tell what each takes of the device."""
    from preprocess.backends.cuda.sources import kernel  # noqa: PLC0415 - CuPy is an extra

    for file, name, threads, defines in WANTED:
        began_s = time.perf_counter()
        function = kernel(file, name, threads, **defines).function
        took_s = round(time.perf_counter() - began_s, 2)
        names = ("num_regs", "local_size_bytes", "shared_size_bytes", "const_size_bytes", "max_threads_per_block")
        say(kernel=name, defines=defines, compile_s=took_s, **{each: getattr(function, each, None) for each in names})


def prepare(out: Path) -> None:
    """Write the movies of the other parts, all at a time: this takes minutes, and no device."""
    makers = [*(f"_noise {rows}" for rows in _rows_a_strip()), "_tiled"]
    command = [sys.executable, "-m", __spec__.name, str(out)]
    began_s = time.perf_counter()
    _simulated(out)  # the tiled movie is made of it
    codes = [process.wait() for process in [subprocess.Popen([*command, *maker.split()]) for maker in makers]]
    say(
        wall_s=round(time.perf_counter() - began_s, 1),
        differ=[m for m, code in zip(makers, codes, strict=True) if code],
    )


def decode(out: Path) -> None:
    """Decode LZW of one strip a frame, of 64 rows and of 1 row a strip; compare every byte with the CPU's."""
    for rows in _rows_a_strip():
        _decode(open_movie(_noise(out, rows)), rows_a_strip=rows)


def deflate(out: Path) -> None:
    """Decode deflate without nvCOMP and with it, if it is installed; compare every byte with the CPU's."""
    from preprocess.backends.cuda.nvcomp import load_nvcomp  # noqa: PLC0415 - for devices alone

    switches, found = ["off", "on"], load_nvcomp()
    if isinstance(found, str):
        say(skipped=found)
        switches = ["off"]
    for rows in _rows_a_strip():
        movie = open_movie(_noise(out, rows, "deflate"))
        for switch in switches:
            os.environ[NVCOMP_VARIABLE] = switch
            _decode(movie, rows_a_strip=rows, nvcomp=switch)


def _decode(movie: Movie, **about: Any) -> None:
    count, backend = movie.frame_count, choose_backend(DEVICE)
    for again in range(REPEATS):
        stack = backend.hold(count, movie.height, movie.width, np.dtype(np.uint8))
        backend.stage_times()
        began_s = time.perf_counter()
        remarks = stack.fill(movie, range(count), FrameGroups((1,) * count), stack, lambda _done: None)
        backend.finish()
        took_s = round(time.perf_counter() - began_s, 4)
        say(**about, wall_s=took_s, remarks=remarks, stages=_stages(backend.stage_times()))
        if again == 0:
            frames = getattr(stack, "frames")  # noqa: B009 - those of CUDA's stack, which the contract does not know
            say(**about, differ=_differing(movie, frames))
        stack.release()


def _differing(movie: Movie, frames: Any) -> list[int]:
    """Return the frames on the device that are not the CPU's; those that repeat others are compared on the device."""
    from preprocess.backends.cuda.device import cupy  # noqa: PLC0415 - CuPy is an extra

    differ = [
        index
        for index, frame in enumerate(movie.frames(0, min(DISTINCT, len(frames))))
        if not np.array_equal(frame, frames[index].get())
    ]
    repeated = range(DISTINCT, len(frames))
    return differ + [index for index in repeated if not bool(cupy.array_equal(frames[index], frames[index % DISTINCT]))]


def movies(out: Path) -> None:
    """Align a simulated movie on the CPU and on the device; compare shifts and micrographs."""
    path, wall_s, results = _simulated(out), {}, {}
    for device in ("cpu", DEVICE):
        began_s = time.perf_counter()
        results[device] = _align(path, out / "work" / device[:4], device)
        wall_s[device] = round(time.perf_counter() - began_s, 2)
    on_cpu, on_device = results["cpu"], results[DEVICE]
    shifts = {
        "y": float(np.abs(np.subtract(on_device.shifts_y_px, on_cpu.shifts_y_px)).max()),
        "x": float(np.abs(np.subtract(on_device.shifts_x_px, on_cpu.shifts_x_px)).max()),
    }
    one, other = (_micrograph(result) for result in (on_cpu, on_device))
    correlation = float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
    differ = [f"shifts along {axis}" for axis, most in shifts.items() if most > LARGEST_SHIFT_DIFFERENCE_PX]
    differ += ["the micrograph"] * (correlation < LEAST_CORRELATION)
    say(shift_differences_px=shifts, correlation=correlation, wall_s=wall_s, differ=differ)


def repeat(out: Path) -> None:
    """Align a movie again, with less memory, and in two processes at once: the outputs must be the same bytes."""
    path = _simulated(out)
    seen: dict[str, dict[str, str]] = {}
    for name, cap_gb in (("first", None), ("again", None), ("2 GB", 2.0), ("1 GB", 1.0)):
        folder = out / "work" / f"repeat {name}"
        _align(path, folder, DEVICE, device_memory_gb=cap_gb)
        seen[name] = _digests(folder)
    folders = [out / "work" / f"repeat both {number}" for number in (0, 1)]
    both = [
        subprocess.Popen([sys.executable, "-m", __spec__.name, str(folder), "_again", str(path)]) for folder in folders
    ]
    say(exit_codes=[process.wait() for process in both])
    seen |= {folder.name: _digests(folder) for folder in folders}
    say(differ=sorted({f"{name}: {file}" for name, files in seen.items() for file in _other(files, seen["first"])}))


def profile(out: Path) -> None:
    """Tell where a whole movie's time goes, on the device by stage and on the host by function."""
    path, factor = _tiled(out), 2 if IS_LARGE else 1
    folder = out / "work" / "profile"
    _align(path, folder, DEVICE, bin_factor=factor)
    backend = choose_backend(DEVICE)
    backend.stage_times()
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        result = _align(path, folder, DEVICE, bin_factor=factor)
        took_s = round(time.perf_counter() - began_s, 3)
        say(wall_s=took_s, seconds=result.seconds, stages=_stages(backend.stage_times()))
    profiled = cProfile.Profile()
    profiled.runcall(_align, path, folder, DEVICE, bin_factor=factor)
    with (out / "host_profile.txt").open("w", encoding="utf-8") as file:
        pstats.Stats(profiled, stream=file).sort_stats("tottime").print_stats(40)
    say(host_profile="host_profile.txt")


def faults(out: Path) -> None:
    """Write out of bounds on the device, then ask for two movies: each must fail as a lost device."""
    from preprocess.backends.cuda.device import cupy  # noqa: PLC0415 - CuPy is an extra

    code = 'extern "C" __global__ void wild(int* at) { at[1ll << 40] = 1; }'
    path = _simulated(out)
    cupy.RawKernel(code, "wild")((1,), (1,), (cupy.zeros(1, "i4"),))
    errors = []
    for _ in range(2):
        try:
            _align(path, out / "work" / "faults", DEVICE)
        except (PreprocessError, RuntimeError) as error:  # CuPy's own are RuntimeErrors
            errors.append(f"{type(error).__name__}: {error}")
    say(
        errors=errors, differ=[each for each in errors if not each.startswith("DeviceLost")] if errors else ["no error"]
    )
    os._exit(0 if errors else 1)  # the end of a process whose device is lost may wait for it


def _again(folder: Path) -> None:
    for _ in range(REPEATS):
        _align(Path(sys.argv[3]), folder, DEVICE)
    say(aligned=REPEATS)


def _align(movie: Path, folder: Path, device: str, **more: Any) -> ProcessedMovie:
    settings = AlignmentSettings(device=device, unweighted=True, **more)
    return process_movie(movie, folder, settings=settings, acquisition=KNOWN)


def _stages(times: Any) -> dict[str, Any]:
    return {name: {"ms": round(each.ms, 2), "bytes": each.bytes, "flop": each.flop} for name, each in times.items()}


def _micrograph(result: ProcessedMovie) -> NDArray[np.float64]:
    path = result.file("micrograph")
    assert path is not None
    pixels: NDArray[np.float64] = mrcfile.read(path).astype(np.float64)
    return pixels


def _digests(folder: Path) -> dict[str, str]:
    kinds = (".mrc", ".star", ".json")
    files = sorted(path for path in folder.iterdir() if path.suffix in kinds)
    return {path.name: hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() for path in files}


def _other(files: dict[str, str], first: dict[str, str]) -> Iterable[str]:
    return [name for name in first.keys() | files.keys() if files.get(name) != first.get(name)]


def _noise(out: Path, rows: int, compression: Literal["lzw", "deflate"] = "lzw") -> Path:
    """Return a movie of a few frames of noise in turns, with stretches of zeros and of saturated pixels.

    With deflate, which takes longer to write, each frame is there once.
    """
    count, height, width = SHAPE
    count = min(count, DISTINCT) if compression == "deflate" else count
    path = (
        out / f"noise_{count}x{height}x{width}_{rows}_{compression}.tif"
    )  # runs of other shapes leave theirs in the same folder
    counts = np.repeat(np.arange(5, dtype=np.uint8), (207, 44, 4, 0, 1))  # about those of Poisson's with a mean of 0.21

    def frame(index: int) -> NDArray[Any]:
        made: NDArray[np.uint8] = counts[
            np.random.default_rng(index).integers(0, len(counts), (height, width), np.uint8)
        ]
        if index == 1:
            made[: height // 3] = 0
        if index == 2:
            made[height // 3 : height // 2] = 255
        return made

    def write(to: Path) -> None:
        distinct = [frame(index) for index in range(min(DISTINCT, count))]
        frames = (distinct[index % DISTINCT] for index in range(count))
        write_tiff(to, frames, rows_per_strip=rows, compression=compression)

    return _write_whole(path, write)


def _write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a movie if it is not there; it has its name only when it is whole: parts are killed at their limits."""
    if not path.exists():
        beside = path.with_name(f"partial_{path.name}")
        write(beside)
        beside.replace(path)
    return path


def _rows_a_strip() -> tuple[int, ...]:
    return (SHAPE[1], 64, 1)


def _simulated(out: Path) -> Path:
    height, width, count = (2046, 2880, 40) if IS_LARGE else (512, 480, 8)
    path = out / f"simulated_{count}x{height}x{width}.tiff"
    settings = SimulationSettings(height=height, width=width, frame_count=count, seed=1)
    return _write_whole(path, lambda to: simulate_movie(settings).write(to))


def _tiled(out: Path) -> Path:
    """Return a super-resolution movie with signal and motion: the simulated one, several times beside itself."""
    path, times = (out / "tiled.tif", (4, 4)) if IS_LARGE else (out / "tiled_small.tif", (2, 2))
    movie = open_movie(_simulated(out))
    tiles = (np.tile(np.ascontiguousarray(frame), times) for frame in movie.frames())
    return _write_whole(path, lambda to: write_tiff(to, tiles))


def _allocate_alone() -> None:
    """Let each array be an allocation of its own, so that a sanitizer sees a step beyond its end."""
    from preprocess.backends.cuda.device import cupy  # noqa: PLC0415 - CuPy is an extra
    from preprocess.backends.cuda.device_memory import DeviceMemory  # noqa: PLC0415

    def allocator(_memory: DeviceMemory, _purpose: str) -> Callable[[int], Any]:
        return lambda size: cupy.cuda.MemoryPointer(cupy.cuda.Memory(size), 0)

    DeviceMemory.allocator = allocator  # type: ignore[method-assign, assignment]


def _noise_of_rows(out: Path) -> None:
    _noise(out, int(sys.argv[3]))


PARTS: dict[str, Callable[[Path], object]] = {
    **{part.__name__: part for part in (facts, kernels, prepare, decode, deflate, movies, repeat, profile, faults)},
    "_again": _again,
    "_noise": _noise_of_rows,
    "_tiled": _tiled,
}


if __name__ == "__main__":
    if os.environ.get(ENVIRONMENT_OF_POOL):
        _allocate_alone()
    PARTS[sys.argv[2]](Path(sys.argv[1]))
