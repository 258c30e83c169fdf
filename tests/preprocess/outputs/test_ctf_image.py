"""STEM_ctf.mrc: which quadrant shows what, and that other programs open it."""

import io
import shutil
import subprocess

import mrcfile
import numpy as np
import pytest

from preprocess.outputs.ctf_image import ctf_image, ctf_mrc
from preprocess.outputs.scaled_rings import scaled_spectra
from preprocess.outputs.whole_spectrum import whole_spectrum_of
from tests.ctf_estimates import estimate_of


def test_the_model_is_in_one_quadrant_and_the_measured_spectrum_in_the_others():
    estimate = estimate_of()
    image, (measured, fitted) = ctf_image(estimate), scaled_spectra(estimate)
    assert image.shape == (720, 720)
    # Row and column 360 are zero frequency; (row, column) below is at -(y, x), which is what the half has at (y, x).
    assert image[360 - 50, 360 - 20] == fitted[360 + 50, 20]
    assert image[360 + 50, 360 + 20] == measured[360 + 50, 20]
    assert image[360 - 50, 360 + 20] == measured[360 - 50, 20]
    assert image[360 + 50, 360 - 20] == measured[360 - 50, 20]


def test_a_whole_spectrum_is_that_of_numpy():
    image = np.random.default_rng(0).normal(size=(64, 64))
    whole = np.fft.fftshift(np.abs(np.fft.fft2(image)) ** 2)
    half = whole[32 - 20 : 32 + 21, 32 : 32 + 21].astype(np.float32)
    np.testing.assert_allclose(whole_spectrum_of(half), whole[12:52, 12:52], rtol=1e-6)


def test_the_file_is_an_mrc_image_whose_edge_is_the_last_frequency(tmp_path):
    content = ctf_mrc(estimate_of())
    assert content == ctf_mrc(estimate_of())
    (tmp_path / "stem_ctf.mrc").write_bytes(content)
    remarks = io.StringIO()
    assert mrcfile.validate(tmp_path / "stem_ctf.mrc", print_file=remarks), remarks.getvalue()
    with mrcfile.open(tmp_path / "stem_ctf.mrc") as file:
        assert file.data.dtype == np.float32
        assert file.voxel_size.x == pytest.approx(1024 / 720)
        assert -0.25 <= file.data.min() < file.data.max() <= 1.25


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_image_handler") is None, reason="RELION is missing: apt-get install relion")
def test_relion_reads_it_by_the_name_that_its_star_files_use(tmp_path):
    (tmp_path / "stem_ctf.mrc").write_bytes(ctf_mrc(estimate_of()))
    command = ["relion_image_handler", "--i", "stem_ctf.mrc:mrc", "--stats"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "(x,y,z,n)= 720 x 720 x 1 x 1" in done.stdout
