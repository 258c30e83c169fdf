"""Our own sine, cosine, exponential and logarithm lie within the errors that `elementary.h` states."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cffi import FFI

from preprocess.backends.compiled.build_kernels import FLAGS, FOLDER

ROOT = Path(__file__).parents[4]
DECLARATIONS = """
void waves_f32(const float *x, long n, float *c, float *s);
void waves_f64(const double *x, long n, double *c, double *s);
void exponentials(const double *x, long n, double *y);
void logarithms(const float *x, long n, float *y);
void logarithms_f64(const double *x, long n, double *y);
"""
LOOPS = """
#include "elementary.h"
void waves_f32(const float *x, long n, float *c, float *s) {
  for (long i = 0; i < n; i++) cosine_and_sine_f32(x[i], c + i, s + i);
}
void waves_f64(const double *x, long n, double *c, double *s) {
  for (long i = 0; i < n; i++) cosine_and_sine_f64(x[i], c + i, s + i);
}
void exponentials(const double *x, long n, double *y) {
  for (long i = 0; i < n; i++) y[i] = exponential_f64(x[i]);
}
void logarithms(const float *x, long n, float *y) {
  for (long i = 0; i < n; i++) y[i] = logarithm_f32(x[i]);
}
void logarithms_f64(const double *x, long n, double *y) {
  for (long i = 0; i < n; i++) y[i] = logarithm_f64(x[i]);
}
"""


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return `call(name, x)`, which returns what a function makes of many numbers."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: install gcc")
    folder = tmp_path_factory.mktemp("elementary")
    (folder / "loops.c").write_text(LOOPS)
    flags = [*FLAGS, f"-I{ROOT / FOLDER}", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, "-o", folder / "loops.so", folder / "loops.c", "-lm"], check=True)
    ffi = FFI()
    ffi.cdef(DECLARATIONS)
    lib = ffi.dlopen(str(folder / "loops.so"))

    def call(name: str, x: np.ndarray, results: int = 1) -> np.ndarray:
        pointer = {"f": "float *", "d": "double *"}[x.dtype.char]
        found = np.empty((results, len(x)), x.dtype)
        getattr(lib, name)(ffi.from_buffer(pointer, x), len(x), *(ffi.from_buffer(pointer, row) for row in found))
        return found

    return call


def around_quarter_turns(most: float) -> np.ndarray:
    """Return numbers up to `most`, those next to multiples of a quarter of a turn among them."""
    near = np.pi / 4 * np.arange(-3000, 3000)
    everywhere = np.random.default_rng(1).uniform(-1, 1, 200_000) * most
    return np.concatenate([near, near + 1e-6, everywhere, everywhere * 1e-4, [0.0, 1e-30, most, -most]])


@pytest.mark.parametrize(("most", "error"), [(12_000.0, 1.5e-7), (100_000.0, 2e-6)])
def test_waves_in_single_precision(loops: Any, most: float, error: float) -> None:
    x = around_quarter_turns(most).astype(np.float32)
    x = x[np.abs(x) <= most]
    wide = x.astype(np.float64)
    np.testing.assert_allclose(loops("waves_f32", x, 2), [np.cos(wide), np.sin(wide)], rtol=0, atol=error)


def test_waves_in_double_precision(loops: Any) -> None:
    """NumPy's own are taken as the truth: they are exact to half of the last bit or little more."""
    x = around_quarter_turns(1e6)
    np.testing.assert_allclose(loops("waves_f64", x, 2), [np.cos(x), np.sin(x)], rtol=0, atol=3e-16)


def test_exponential(loops: Any) -> None:
    x = -np.concatenate([np.random.default_rng(2).uniform(0, 700, 200_000), np.linspace(0, 2, 10_001)])
    np.testing.assert_allclose(loops("exponentials", x)[0], np.exp(x), rtol=4e-16, atol=0)
    assert loops("exponentials", np.array([-701.0, -1e9, -np.inf])).tolist() == [[0, 0, 0]]


def test_logarithm(loops: Any) -> None:
    x = np.exp(np.random.default_rng(3).uniform(-80, 80, 200_000)).astype(np.float32)
    x = np.concatenate([x, np.linspace(0.1, 3, 100_001).astype(np.float32)])
    exact = np.log(x.astype(np.float64))
    assert np.max(np.abs(loops("logarithms", x)[0] - exact) / np.maximum(np.abs(exact), 1)) < 1.3e-7


def test_logarithm_in_double_precision(loops: Any) -> None:
    random = np.random.default_rng(4)
    x = np.concatenate([np.exp(random.uniform(-740, 700, 200_000)), random.uniform(0.5, 2, 100_000), [1.0, 5e-324]])
    exact = np.log(x)
    assert np.max(np.abs(loops("logarithms_f64", x)[0] - exact) / np.maximum(np.abs(exact), 1)) < 3e-16
    strange = np.array([0.0, np.inf, -1.0, np.nan])
    np.testing.assert_array_equal(loops("logarithms_f64", strange)[0], [-np.inf, np.inf, np.nan, np.nan])


def test_no_kernel_calls_those_of_the_c_library() -> None:
    """Their last bits differ between a processor with fused operations and one without."""
    named = re.compile(r"\b(?:a?(?:sin|cos|tan)h?|atan2|sincos|exp|exp2|expm1|log|log2|log10|log1p|pow|hypot|cbrt)f?\(")
    for path in (ROOT / FOLDER).glob("*.[ch]"):
        assert not named.search(path.read_text("utf-8")), path.name
