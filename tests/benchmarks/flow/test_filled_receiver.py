"""A filled receiver is one that agents could have filled."""

from __future__ import annotations

from pathlib import Path

import mrcfile

from benchmarks.flow.filled_receiver import float32_header, make_sparse, sha256_of_zeros


def test_the_header_is_that_of_a_float32_image(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    make_sparse(path, 1024 + 4 * 30 * 40, float32_header((30, 40)))
    with mrcfile.open(path) as image:
        assert image.data.shape == (30, 40)
        assert image.data.dtype == "f4"
        assert not image.data.any()


def test_sha_256_of_zeros() -> None:
    import hashlib

    for size in (0, 5, 1 << 20, (1 << 20) + 7):
        assert sha256_of_zeros(size) == hashlib.sha256(bytes(size)).hexdigest()
