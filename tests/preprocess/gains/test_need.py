"""Whether a movie's counts are raw is told by its sidecar, its format and its size, never by the format TIFF alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocess.gains.need import GainNeed, judge_counts
from preprocess.movies.stored_frames import StoredFrames
from preprocess.sidecars import find_sidecars, read_sidecar

NEEDED, NOT_NEEDED, UNKNOWN = GainNeed.NEEDED, GainNeed.NOT_NEEDED, GainNeed.UNKNOWN
EPU_XML = """<MicroscopeImage xmlns="http://schemas.datacontract.org/2004/07/Fei.SharedObjects"
 xmlns:a="http://schemas.microsoft.com/2003/10/Serialization/Arrays"><CustomData>{custom}</CustomData>
<microscopeData><acquisition><camera><Name>{camera}</Name></camera></acquisition></microscopeData></MicroscopeImage>"""
SOLD_AS = "<a:KeyValueOfstringanyType><a:Key>{0}</a:Key><a:Value>{1}</a:Value></a:KeyValueOfstringanyType>"


def frames(kind: str, width: int, height: int, bits: int = 8, *, is_float: bool = False) -> StoredFrames:
    return StoredFrames(kind, height, width, bits, is_float)  # type: ignore[arg-type]


def need(folder: Path, stored: StoredFrames, name: str = "movie.tiff", **sidecars: str) -> GainNeed:
    movie = folder / name
    for ending, text in sidecars.items():
        movie.with_name(f"{movie.stem}.{ending}").write_text(text)
    found = [sidecar for path in find_sidecars(movie) if (sidecar := read_sidecar(path, movie)) is not None]
    judged = judge_counts(movie, stored, found)
    assert judged.why
    assert judged.are_raw == (judged.need is NEEDED)
    return judged.need


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (frames("tiff", 5760, 4092), NEEDED),
        (frames("tiff", 4092, 5760), NEEDED),
        (frames("mrc", 5760, 4092, 16), NEEDED),
        (frames("tiff", 11520, 8184), NEEDED),
        (frames("tiff", 8184, 11520, 4), NEEDED),
        (frames("tiff", 3838, 3710), NEEDED),
        (frames("mrc", 7676, 7420), NEEDED),
        (frames("tiff", 3710, 7676), NEEDED),  # packed: two pixels in a byte
        (frames("tiff", 5760, 8184), NEEDED),
        (frames("tiff", 3710, 7676, 16), UNKNOWN),
        (frames("mrc", 5120, 3840, 16), NEEDED),
        (frames("tiff", 8192, 8192), NEEDED),
        (frames("eer", 4096, 4096), NEEDED),
        (frames("eer", 2048, 2048), NEEDED),
        (frames("tiff", 5760, 4092, 32, is_float=True), NOT_NEEDED),
        (frames("mrc", 11520, 8184, 16, is_float=True), NOT_NEEDED),
        (frames("tiff", 4096, 4096, 16), UNKNOWN),
        (frames("mrc", 4096, 4096), UNKNOWN),
        (frames("tiff", 1024, 1024), UNKNOWN),
        (frames("tiff", 5760, 5760), UNKNOWN),
    ],
    ids=str,
)
def test_format_size_and_number_type(tmp_path: Path, stored: StoredFrames, expected: GainNeed) -> None:
    assert need(tmp_path, stored) is expected


@pytest.mark.parametrize(
    ("camera", "stored", "expected"),
    [
        ("EF-CCD", frames("tiff", 1024, 1024), NEEDED),
        ("EF-CCD", frames("mrc", 5760, 4092, 16), NOT_NEEDED),
        ("BM-Falcon", frames("mrc", 4096, 4096, 16), NOT_NEEDED),
        ("EF-Falcon", frames("tiff", 4096, 4096, 16), NOT_NEEDED),
        ("EF-Falcon", frames("eer", 4096, 4096), NEEDED),
        ("BM-Ceta", frames("mrc", 4096, 4096, 16), NOT_NEEDED),
        ("BM-K2", frames("tiff", 3838, 3710), NEEDED),
        ("BM-New", frames("tiff", 1024, 1024), UNKNOWN),
        ("BM-New", frames("tiff", 5760, 4092), NEEDED),
    ],
    ids=str,
)
def test_the_camera_that_epu_names(tmp_path: Path, camera: str, stored: StoredFrames, expected: GainNeed) -> None:
    assert need(tmp_path, stored, xml=EPU_XML.format(camera=camera, custom="")) is expected


@pytest.mark.parametrize("key", ["Detectors[BM-X].CommercialName", "DetectorCommercialName"])
@pytest.mark.parametrize(("sold_as", "expected"), [("BioContinuum K3", NEEDED), ("Falcon 4i", NOT_NEEDED)])
def test_the_name_under_which_a_camera_is_sold(tmp_path: Path, key: str, sold_as: str, expected: GainNeed) -> None:
    xml = EPU_XML.format(camera="BM-X", custom=SOLD_AS.format(key, sold_as))
    assert need(tmp_path, frames("tiff", 1024, 1024), xml=xml) is expected


def test_epus_mrc_is_corrected_also_without_its_xml(tmp_path: Path) -> None:
    k3 = frames("mrc", 5760, 4092, 16)
    assert need(tmp_path, k3, "FoilHole_1_Data_2_3_fractions.mrc") is NOT_NEEDED
    assert need(tmp_path, k3, "other.mrc") is NEEDED


@pytest.mark.parametrize(
    ("mdoc", "stored", "expected"),
    [
        ("[FrameSet = 0]\nGainReference = X:\\frames\\ref.dm4\n", frames("tiff", 1024, 1024), NEEDED),
        ("GainReference = ref.dm4\n[FrameSet = 0]\n", frames("mrc", 4096, 4096, 16), NEEDED),
        ("[FrameSet = 0]\nGainReference = ref.mrc\n", frames("mrc", 5760, 4092, 32, is_float=True), NOT_NEEDED),
        ("[FrameSet = 0]\nNumSubFrames = 40\n", frames("tiff", 5760, 4092, 16), NOT_NEEDED),
        ("[FrameSet = 0]\nNumSubFrames = 40\n", frames("tiff", 5760, 4092, 8), NEEDED),
        ("[ZValue = 0]\nNumSubFrames = 40\n", frames("tiff", 5760, 4092, 16), NEEDED),  # not about the frames
        ("[FrameSet = 0]\nNumSubFrames = 40\n", frames("tiff", 1024, 1024, 16), UNKNOWN),
        ("[FrameSet = 0]\nNumSubFrames = 40\n", frames("eer", 4096, 4096), NEEDED),
    ],
)
def test_what_serialem_says_of_its_frames(tmp_path: Path, mdoc: str, stored: StoredFrames, expected: GainNeed) -> None:
    assert need(tmp_path, stored, mdoc=mdoc) is expected
