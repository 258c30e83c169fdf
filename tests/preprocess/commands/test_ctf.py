"""`cryoferry ctf` as its users meet it: what it prints, writes and refuses, and how it exits."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import mrcfile
import numpy as np
import pytest
import starfile
import tifffile

from preprocess.simulation import MicrographSettings, simulate_micrograph, write_mrc
from tests.running import cryoferry_here

TRUTH = MicrographSettings(
    height=768,
    width=896,
    seed=1,
    pixel_size_angstrom=1.5,
    defocus_u_angstrom=14_000,
    defocus_v_angstrom=12_000,
    angle_degrees=25,
    dose_e_per_a2=60,
)
KNOWN = ("--voltage", "300", "--device", "cpu", "--threads", "1")
ASKED_FOR = [
    *("micrograph", "defocus_u", "defocus_v", "angle", "phase_shift", "fit_resolution", "score", "sigma"),
    *("reliable", "reason"),
]


class Answer(NamedTuple):
    exit_code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


def write(path: Path, data: np.ndarray, pixel_size: float = 1.5) -> Path:
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(data)
        file.voxel_size = pixel_size
    return path


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return simulate_micrograph(TRUTH).image


@pytest.fixture
def ctf(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Answer]:
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> Answer:
        done = cryoferry_here(monkeypatch, capsys, "ctf", *args)
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


def assert_is_the_truth(found: dict) -> None:
    assert found["defocus_u"] == pytest.approx(TRUTH.defocus_u_angstrom, abs=80)
    assert found["defocus_v"] == pytest.approx(TRUTH.defocus_v_angstrom, abs=80)
    assert found["angle"] == pytest.approx(TRUTH.angle_degrees, abs=2)
    assert found["reliable"] is True


def test_json_is_one_object_an_image_and_no_file_is_written(ctf, tmp_path, image):
    write(tmp_path / "a.mrc", image)
    answer = ctf("a.mrc", *KNOWN, "--json")
    assert (answer.exit_code, answer.err) == (0, "")
    (found,) = answer.objects
    assert list(found)[: len(ASKED_FOR)] == ASKED_FOR
    assert_is_the_truth(found)
    assert (found["micrograph"], found["phase_shift"], found["reason"]) == ("a.mrc", 0, "")
    assert 0 < found["sigma"] < 40
    assert 3 <= found["fit_resolution"] < 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mrc"]


def test_the_angle_is_that_of_the_file_as_it_lies(ctf, tmp_path, image):
    """A TIFF and an MRC of the same rows have one angle; the mirrored image the mirrored one."""
    tifffile.imwrite(tmp_path / "a.tif", image)
    write(tmp_path / "b.mrc", np.round(image * 100).astype(np.int16))
    write(tmp_path / "c.mrc", np.ascontiguousarray(image[::-1]))
    as_tiff, as_integers, mirrored = ctf("a.tif", "b.mrc", "c.mrc", *KNOWN, "--pixel-size", "1.5", "--json").objects
    assert_is_the_truth(as_tiff)
    assert_is_the_truth(as_integers)
    assert mirrored["angle"] == pytest.approx(-as_tiff["angle"], abs=0.5)


def test_people_get_a_table_on_stdout_and_remarks_on_stderr(ctf, tmp_path, image):
    write(tmp_path / "a.mrc", image)
    write(tmp_path / "noise.mrc", np.random.default_rng(0).normal(size=image.shape).astype(np.float32))
    answer = ctf("a.mrc", "noise.mrc", *KNOWN)
    assert answer.exit_code == 0
    head, good, bad = answer.out.splitlines()
    assert "defocus U, µm" in head
    assert good.split()[:3] == ["a.mrc", "1.40", "1.20"]
    assert bad.rstrip().endswith("not reliable")
    assert "noise.mrc: not reliable: No rings stand out from the noise." in answer.err


def test_out_has_files_for_people_and_programs_and_the_same_bytes_again(ctf, tmp_path, image):
    write(tmp_path / "a.mrc", image)
    asked = ("a.mrc", *KNOWN, "--out", "out", "--star", "--ctffind-files")
    assert ctf(*asked).exit_code == 0
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert sorted(first) == [
        *("a_ctf.csv", "a_ctf.json", "a_ctf.mrc", "a_ctf.png", "a_ctf.txt", "a_ctf_avrot.txt"),
        *("micrographs_ctf.star", "micrographs_ctf_all.star"),
    ]
    listed = starfile.read(tmp_path / "out/micrographs_ctf.star")
    assert listed["micrographs"].loc[0, "rlnCtfImage"] == "out/a_ctf.mrc:mrc"
    assert listed["optics"].loc[0, "rlnMicrographPixelSize"] == 1.5
    refused = ctf(*asked)
    assert refused.exit_code == 2
    assert "a_ctf.mrc exists already" in refused.err
    assert ctf(*asked, "--overwrite").exit_code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first


def test_a_folder_gives_its_micrographs_and_says_what_it_passes_over(ctf, tmp_path, image):
    session = tmp_path / "session/inside"
    session.mkdir(parents=True)
    for name in ("a.mrc", "a_noDW.mrc", "a_EVN.mrc", "a_ctf.mrc", "b.mrc", ".c.mrc"):
        write(session / name, image[:8, :8])
    write(session / "movie.mrc", np.stack([image[:8, :8]] * 2))
    (session / "notes.txt").touch()
    answer = ctf("session", *KNOWN, "--dry-run", "--json")
    assert [told["micrograph"] for told in answer.objects] == [
        "session/inside/a_noDW.mrc",
        "session/inside/b.mrc",
    ]
    for reason in ("dose-weighted", "half the frames", "the spectrum of a CTF", "a movie or a stack", "a hidden file"):
        assert reason in answer.err
    empty = ctf(tmp_path / "session", "--out", "out", *KNOWN)
    assert empty.exit_code == 4  # both are far too small


def test_a_bad_image_never_stops_the_others(ctf, tmp_path, image):
    write(tmp_path / "a.mrc", image)
    write(tmp_path / "constant.mrc", np.full((600, 600), 7, np.uint16))
    write(tmp_path / "movie.mrc", np.stack([image] * 2))
    no_numbers = np.full((600, 600), np.nan, np.float32)
    write_mrc(tmp_path / "nan.mrc", [no_numbers], frame_count=1, mode=2, pixel_size_angstrom=1.5)
    (tmp_path / "text.mrc").write_text("hello " * 1000)
    names = ["constant.mrc", "movie.mrc", "nan.mrc", "text.mrc", "a.mrc"]
    answer = ctf(*names, *KNOWN, "--json")
    assert answer.exit_code == 3
    *failed, good = answer.objects
    assert_is_the_truth(good)
    says = [found["error"]["message"] for found in failed]
    for said, wanted in zip(
        says,
        [
            "empty, saturated, or the same everywhere",
            "holds 2 images",
            "no finite numbers",
            "neither MRC, TIFF nor EER",
        ],
        strict=True,
    ):
        assert wanted in said
    assert all(found["error"]["hint"] for found in failed)
    assert "text.mrc: text.mrc" not in answer.err


def test_the_only_image_that_fails_is_named_in_json_too(ctf, tmp_path):
    name = os.fsdecode(b"bad\xff.mrc")
    write(tmp_path / name, np.zeros((4, 64, 64), np.float32))
    answer = ctf(name, *KNOWN, "--json")
    (failed,) = answer.objects
    assert answer.exit_code == failed["error"]["exit_code"] == 4
    assert failed["micrograph"] == "bad\\xFF.mrc"
    answer.out.encode()  # no lone surrogates, however they are escaped
    assert "\\udc" not in answer.out + answer.err
    alone = ctf(name, *KNOWN)
    assert alone.exit_code == 4
    assert "\\udc" not in alone.err


def test_one_file_under_two_paths_is_one_image(ctf, tmp_path):
    write(tmp_path / "a.mrc", np.zeros((64, 64), np.float32))
    (tmp_path / "b").mkdir()
    answer = ctf("a.mrc", "b/../a.mrc", tmp_path / "a.mrc", *KNOWN, "--dry-run", "--json")
    assert [told["micrograph"] for told in answer.objects] == ["a.mrc"]


def test_an_image_that_shows_too_little_is_not_called_reliable(ctf, tmp_path, image):
    write(tmp_path / "small.mrc", image[:512, :512])
    write(tmp_path / "saturated.mrc", np.minimum(image, np.percentile(image, 1)).astype(np.float32))
    coarse = replace(TRUTH, height=512, width=512, pixel_size_angstrom=3.0)
    write(tmp_path / "coarse.mrc", simulate_micrograph(coarse).image, 3.0)
    answer = ctf("small.mrc", "saturated.mrc", "coarse.mrc", *KNOWN, "--json")
    assert answer.exit_code == 0
    for found in answer.objects:
        if found["reliable"]:
            assert found["defocus_u"] == pytest.approx(TRUTH.defocus_u_angstrom, rel=0.03)
        assert found["reliable"] or found["reason"].endswith(".")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["a.mrc"], "the voltage of the microscope is not known"),
        (["a.mrc", "--voltage", "300"], "a.mrc: its pixel size is not known"),
        (["a.mrc", "--voltage", "300", "--pixel-size", "90"], "cannot be true"),
        (["a.mrc", "--voltage", "inf"], "the voltage is inf kV by its flag"),
        (["a.mrc", *KNOWN, "--cs", "inf"], "--cs: 'inf' is too large"),
        (["gone.mrc", "--voltage", "300"], "gone.mrc: No such file"),
        (["a.mrc", *KNOWN, "--star"], "--star needs a folder"),
        (["a.mrc", *KNOWN, "--ctffind-files"], "--ctffind-files needs a folder"),
        (["a.mrc", *KNOWN, "--out", "a.mrc"], "is a file, not a folder"),
        (["a.mrc", "x/a.mrc", *KNOWN, "--out", "out"], "would both write"),
        (["a.mrc", *KNOWN, "--defocus-range", "3-1"], "--defocus-range 3-1"),
    ],
)
def test_wrong_usage_is_named_before_anything_is_done(ctf, tmp_path, args, says):
    (tmp_path / "x").mkdir()
    for name in ("a.mrc", "x/a.mrc"):
        write(tmp_path / name, np.zeros((64, 64), np.float32), 1.0)
    answer = ctf(*args)
    assert answer.exit_code == 2
    assert says in answer.err
    assert answer.out == ""


def test_values_come_from_the_configuration_too(ctf, tmp_path, image):
    write(tmp_path / "a.mrc", image, 0.0)
    (tmp_path / "cryoferry.toml").write_text("[align]\nvoltage = 300\npixel_size = 0.75\n[ctf]\ncs = 2.0\n")
    refused = ctf("a.mrc")
    assert (refused.exit_code, "its pixel size is not known" in refused.err) == (2, True)
    (found,) = ctf("a.mrc", "--json", "--pixel-size", "1.5").objects
    assert (found["pixel_size"], found["voltage_kv"], found["cs_mm"]) == (1.5, 300, 2.0)


def test_a_pixel_size_that_contradicts_the_header_is_said(ctf, tmp_path, image):
    write(tmp_path / "a.mrc", image)
    answer = ctf("a.mrc", *KNOWN, "--pixel-size", "1.6", "--json")
    (found,) = answer.objects
    assert [warning["code"] for warning in found["warnings"]] == ["sources-differ"]
    assert "the header says a pixel size of 1.5 Å; 1.6 Å is used" in answer.err


def test_a_phase_shift_is_searched_on_request(ctf, tmp_path):
    settings = {"height": 768, "width": 896, "pixel_size_angstrom": 1.5, "dose_e_per_a2": 80, "seed": 3}
    plate = MicrographSettings(**settings, phase_shift_degrees=70, defocus_u_angstrom=9000, defocus_v_angstrom=8500)
    write(tmp_path / "a.mrc", simulate_micrograph(plate).image)
    (found,) = ctf("a.mrc", *KNOWN, "--phase-shift", "--json").objects
    assert found["phase_shift_searched"] is True
    assert found["phase_shift"] == pytest.approx(70, abs=10)


def test_a_dry_run_tells_what_would_be_done(ctf, tmp_path, image):
    write(tmp_path / "a.mrc", image)
    (tmp_path / "empty.mrc").touch()
    answer = ctf("a.mrc", "empty.mrc", *KNOWN, "--out", "out", "--dry-run")
    assert answer.exit_code == 3
    assert answer.out.splitlines()[0] == (
        "would estimate a.mrc: 896 x 768 px, float32, 1.5 Å (header), 300 kV, Cs 2.7 mm, contrast 0.1"
    )
    assert "would refuse empty.mrc: the file is empty" in answer.out
    assert not (tmp_path / "out").exists()
