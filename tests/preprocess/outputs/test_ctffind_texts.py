"""CTFFIND's texts, as RELION and Scipion read them."""

import io
import os
import shutil
import subprocess

import numpy as np
import pytest
import starfile

from preprocess.outputs.ctffind_texts import ctffind_avrot, ctffind_txt
from preprocess.settings import CtfSettings
from tests.ctf_estimates import OPTICS, estimate_of

PLATE = estimate_of(phase_shift_degrees=90.0, tilt_degrees=20.0, tilt_axis_degrees=35.0)


def text(estimate):
    return ctffind_txt(estimate, OPTICS, CtfSettings(), "stem.mrc")


def averages(estimate):
    return ctffind_avrot(estimate, OPTICS, CtfSettings(), "stem.mrc")


def test_numbers_stand_in_ctffind_s_columns():
    lines = text(PLATE).splitlines()
    assert [line[0] for line in lines] == [*"#####", "1"]
    numbers = "1.000000 12000.000000 11400.000000 30.000000 1.570796 0.234567 4.200000 35.000000 20.000000 0.000000"
    assert lines[5] == numbers


def test_a_fit_without_end_is_printed_as_ctffind_prints_it():
    assert text(estimate_of(fit_resolution_angstrom=float("inf"))).split()[-4] == "inf"


def test_numpy_reads_both_as_scipion_s_plugin_does():
    values = np.loadtxt(io.StringIO(text(PLATE)), comments="#")
    assert values.shape == (10,)
    rows = np.loadtxt(io.StringIO(averages(PLATE)), comments="#")
    k, plain, average, fit, agreement, sigma = rows.reshape(-1, 6, rows.shape[1])[0]
    np.testing.assert_allclose(k, PLATE.profile.frequency_per_angstrom, atol=1e-6)
    np.testing.assert_allclose(fit**2, PLATE.profile.ctf_squared, atol=1e-5)
    np.testing.assert_allclose(agreement, PLATE.profile.agreement, atol=1e-6)
    first = (k > 0.03) & (k < 0.2)
    assert np.corrcoef(average[first], fit[first])[0, 1] > 0.95
    assert abs(plain.mean()) < 0.05
    assert 0 < sigma.min() <= sigma.max() < 1


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_run_ctffind") is None, reason="RELION is missing: apt-get install relion")
def test_relion_reads_them_in_ctffind_s_place(tmp_path):
    """A program that leaves our texts where CTFFIND leaves its own; RELION joins them in its STAR file."""
    (tmp_path / "ours.txt").write_text(text(PLATE))
    (tmp_path / "ours_avrot.txt").write_text(averages(PLATE))
    program = tmp_path / "ctffind"
    program.write_text(
        "#!/bin/sh\nread image\nread out\n"
        'root="${out%.ctf}"\ncp ours.txt "$root.txt"\ncp ours_avrot.txt "${root}_avrot.txt"\n'
        'echo "Summary of results                          : $root.txt"\n'
    )
    program.chmod(0o755)
    (tmp_path / "stem.mrc").write_bytes(b"RELION looks only whether it is there")
    (tmp_path / "in.star").write_text(
        "# version 30001\n\ndata_optics\n\nloop_\n_rlnOpticsGroupName #1\n_rlnOpticsGroup #2\n"
        "_rlnMicrographPixelSize #3\n_rlnVoltage #4\n_rlnSphericalAberration #5\n_rlnAmplitudeContrast #6\n"
        "opticsGroup1 1 1.0 300 2.7 0.1\n\n\n# version 30001\n\ndata_micrographs\n\nloop_\n"
        "_rlnMicrographName #1\n_rlnOpticsGroup #2\nstem.mrc 1\n\n"
    )
    command = ["relion_run_ctffind", "--i", "in.star", "--o", "Ctf/", "--ctffind_exe", str(program)]
    command += ["--is_ctffind4", "--do_phaseshift", "--ctfWin", "-1"]
    shell = os.environ | {"RELION_SHELL": "sh"}
    done = subprocess.run(command, cwd=tmp_path, env=shell, capture_output=True, text=True, check=False)
    assert (tmp_path / "Ctf/micrographs_ctf.star").exists(), done.stdout + done.stderr
    found = starfile.read(tmp_path / "Ctf/micrographs_ctf.star")["micrographs"].iloc[0]
    assert found["rlnDefocusU"] == 12_000
    assert found["rlnDefocusV"] == 11_400
    assert found["rlnDefocusAngle"] == 30
    assert found["rlnPhaseShift"] == pytest.approx(90, abs=1e-4)
    assert found["rlnCtfFigureOfMerit"] == pytest.approx(0.234567)
    assert found["rlnCtfMaxResolution"] == pytest.approx(4.2)
