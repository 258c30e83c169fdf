"""Filters sums radially and crops them in Fourier space, on a CUDA device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import DeviceImage, Image, Undamping
from preprocess.backends.cuda.device import cupy
from preprocess.backends.spectrum_layout import CORNER_FREQUENCY, undamping_of, whole_multiple


def filtered_sum(
    images: Sequence[DeviceImage],
    filters: NDArray[np.float32],
    output_shape: tuple[int, int],
    undamping: Undamping | None,
) -> Image:
    """Return the sum of the images, each filtered radially, Fourier-cropped; see the contract."""
    height, width = images[0].shape
    if output_shape == (height, width) and np.all(filters == 1) and undamping is None:
        plain = cupy.array(images[0])
        for image in images[1:]:
            plain += cupy.asarray(image)
        return cupy.asnumpy(plain)  # type: ignore[no-any-return]  # CuPy has no types
    height, width = whole_multiple(images[0].shape, output_shape)
    rows = np.arange(output_shape[0])
    lowest = np.where(2 * rows < output_shape[0], rows, height - output_shape[0] + rows)
    kept = cupy.asarray(lowest)
    half = output_shape[1] // 2 + 1
    ky = cupy.asarray(np.fft.fftfreq(height)[lowest])[:, None]
    kx = cupy.arange(half)[None] / width
    frequency = cupy.sqrt(ky * ky + kx * kx).ravel()
    total = cupy.zeros((output_shape[0], half), cupy.complex64)
    places = cupy.linspace(0, CORNER_FREQUENCY, filters.shape[1])
    for image, factors in zip(images, filters, strict=True):
        filtered = cupy.interp(frequency, places, cupy.asarray(factors, cupy.float64)).astype(cupy.float32)
        total += cupy.fft.rfft2(cupy.asarray(image)[:height, :width])[kept, :half] * filtered.reshape(total.shape)
    total *= np.float32(output_shape[0] * output_shape[1] / (height * width))
    if undamping is not None:
        along_y, along_x = undamping_of(undamping, (height, width), output_shape)
        total *= cupy.asarray(along_y)[:, None] * cupy.asarray(along_x)
    image = cupy.fft.irfft2(total, s=output_shape)
    return cupy.asnumpy(image.astype(cupy.float32))  # type: ignore[no-any-return]  # CuPy has no types
