"""All kernels in C, called with NumPy arrays."""

from __future__ import annotations

from preprocess.backends.compiled.ctf_calls import CtfCalls
from preprocess.backends.compiled.frame_calls import FrameCalls
from preprocess.backends.compiled.image_calls import ImageCalls
from preprocess.backends.compiled.pixel_calls import PixelCalls
from preprocess.backends.compiled.spectrum_calls import SpectrumCalls
from preprocess.backends.compiled.tile_calls import TileCalls


class KernelCalls(CtfCalls, FrameCalls, ImageCalls, PixelCalls, SpectrumCalls, TileCalls):
    """Kernels of a library: each method takes what numba's kernel of its name takes, and does the same."""
