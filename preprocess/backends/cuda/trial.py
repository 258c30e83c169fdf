"""Tries every CUDA device: compiles and runs a kernel, transforms an image and back, compares both with NumPy.

`python -m preprocess.backends.cuda.trial` prints a JSON object for each device. It is a process of its own because a
device that fails takes its process with it, and because a driver may wait for ever.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass

import numpy as np

from preprocess.errors import CupyMissing, DeviceError

SHAPE = (96, 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of trying a device.

    Attributes
    ----------
    device : str
        `cuda:0` and so on; empty where no device was found.
    name : str
        What the driver calls it.
    memory_bytes : int
        Of the device.
    compute_capability : str
        As in `9.0`.
    driver, runtime : str
        The newest CUDA that the driver supports, and the one that CuPy was built for, as in `12.9`.
    failure : str
        What went wrong; empty if the device computes what it should.
    error : str
        The class of our error.
    """

    device: str = ""
    name: str = ""
    memory_bytes: int = 0
    compute_capability: str = ""
    driver: str = ""
    runtime: str = ""
    failure: str = ""
    error: str = ""


def trials() -> list[Trial]:
    """Return what came of trying each device; one trial without a device where none answers."""
    try:
        from preprocess.backends.cuda.device import require_device  # noqa: PLC0415 - CuPy is an extra
        from preprocess.backends.cuda.gauges import device_count  # noqa: PLC0415

        require_device(0)
        return [_trial(number) for number in range(device_count())]
    except ModuleNotFoundError as error:
        missing = CupyMissing if error.name == "cupy" else DeviceError
        return [Trial(failure=str(error), error=missing.__name__)]
    except (ImportError, OSError, DeviceError) as error:
        return [Trial(failure=str(error), error=type(error).__name__)]


def _trial(number: int) -> Trial:
    from preprocess.backends.cuda.gauges import described  # noqa: PLC0415 - CuPy is an extra

    about = described(number)
    failure, error = "", ""
    try:
        failure = _differences(number)
    except DeviceError as failed:
        failure, error = str(failed), type(failed).__name__
    return Trial(
        device=f"cuda:{number}",
        name=about.name,
        memory_bytes=about.memory_bytes,
        compute_capability=about.compute_capability,
        driver=about.driver,
        runtime=about.runtime,
        failure=failure,
        error=error,
    )


def require_right_results(device: str) -> None:
    """Compute something small on a device, as `cuda:0` names it.

    Raises
    ------
    DeviceError
        The device fails, or its results are wrong.
    """
    number = device.partition(":")[2]
    if differs := _differences(int(number or 0)):
        raise DeviceError(f"{device}: {differs}")


def _differences(number: int) -> str:
    """Compute a sum of frames and a transform there and back; return what is not as NumPy has it."""
    from preprocess.backends.cuda.backend import CudaBackend  # noqa: PLC0415 - CuPy is an extra

    backend = CudaBackend(number)
    frames = np.random.default_rng(0).integers(0, 200, (3, *SHAPE)).astype(np.uint8)
    stack = backend.hold(len(frames), *SHAPE, frames.dtype)
    for index, frame in enumerate(frames):
        stack.put(index, frame)
    if not np.isclose(stack.frame_sum().mean(), frames.sum(0).mean(), rtol=1e-6):
        return "a kernel computes a wrong sum"
    image = frames[0].astype(np.float32)
    flat, unchanged = np.ones((1, 9), np.float32), np.ones((2, 5), np.float32)
    same = backend.filtered_sum([backend.upload(image)], flat, SHAPE, unchanged)  # with `unchanged` it is transformed
    if not np.allclose(backend.bring_down(same, float32=True).pixels(), image, atol=0.01):
        return "an image that is transformed and transformed back is another one"
    return ""


if __name__ == "__main__":
    for trial in trials():
        sys.stdout.write(f"{json.dumps(asdict(trial))}\n")
        sys.stdout.flush()
