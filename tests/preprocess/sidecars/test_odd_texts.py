"""However a sidecar is encoded, cut off or padded: it is read rightly, or somebody is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocess.sidecars import Sidecar, SidecarUnreadableError, read_sidecar

MDOC = """T = SerialEM: Krios of Universität Köln   08-Oct-21  07:38:24
Voltage = 300

[FrameSet = 0]
PixelSpacing = 1.2827
NumSubFrames = 12
SubFramePath = X:\\Jürgen\\movie.tif
DateTime = 08-Oct-21  07:39:08
"""
XML = """<?xml version="1.0" encoding="utf-8"?>
<MicroscopeImage xmlns="http://schemas.datacontract.org/2004/07/Fei.SharedObjects"><name>Köln</name>
<CustomData xmlns:a="http://schemas.microsoft.com/2003/10/Serialization/Arrays">
<a:KeyValueOfstringanyType><a:Key>Dose</a:Key><a:Value>4.0E+21</a:Value></a:KeyValueOfstringanyType></CustomData>
<SpatialScale><pixelSize><x><numericValue>1.2827E-10</numericValue></x></pixelSize></SpatialScale></MicroscopeImage>
"""
MOVIE = Path("movie.tif")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1")


def read(path: Path, content: bytes) -> Sidecar:
    path.write_bytes(content)
    sidecar = read_sidecar(path, MOVIE)
    assert sidecar is not None
    return sidecar


@pytest.mark.parametrize("padding", [0, 1, 4096], ids=["bare", "one zero", "zeros"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("name", "text"), [("a.mdoc", MDOC), ("a.xml", XML)])
def test_every_encoding_line_end_and_padding(
    tmp_path: Path, name: str, text: str, encoding: str, ends: str, padding: int
) -> None:
    sidecar = read(tmp_path / name, text.replace("\n", ends).encode(encoding) + bytes(padding))
    assert sidecar.pixel_size_angstrom == pytest.approx(1.2827)
    assert sidecar.remarks == ()
    if name == "a.mdoc":
        assert (sidecar.voltage_kv, sidecar.frame_count) == (300, 12)
        assert sidecar.recording.shutter_time is not None
    else:
        assert sidecar.total_dose_e_per_a2 == pytest.approx(40)


def test_other_bytes_of_windows_end_no_line(tmp_path: Path) -> None:
    content = MDOC.encode("latin-1").replace(b"[FrameSet = 0]", b"[FrameSet = 0]\nNote = a\x85 PixelSpacing = 9")
    assert read(tmp_path / "a.mdoc", content).pixel_size_angstrom == 1.2827


def test_a_number_at_the_end_may_lack_digits_and_is_not_used(tmp_path: Path) -> None:
    sidecar = read(tmp_path / "a.mdoc", b"[FrameSet = 0]\nVoltage = 300\nPixelSpacing = 1.2")
    assert (sidecar.pixel_size_angstrom, sidecar.voltage_kv) == (None, 300)
    (remark,) = sidecar.remarks
    assert "PixelSpacing = 1.2" in remark
    named = read(tmp_path / "b.mdoc", b"[ZValue = 0]\nVoltage = 300\nSubFramePath = C:\\movie.tif")
    assert (named.voltage_kv, named.remarks) == (300, ())


@pytest.mark.parametrize("content", [b"", bytes(4096), MDOC.encode()[:60] + bytes(512) + MDOC.encode()[60:]])
def test_an_mdoc_that_was_not_written_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SidecarUnreadableError, match=r"a\.mdoc"):
        read(tmp_path / "a.mdoc", content)


@pytest.mark.parametrize("length", [0, 10, 60, 300, len(XML.encode()) - 5])
def test_an_xml_that_is_cut_off_is_named(tmp_path: Path, length: int) -> None:
    with pytest.raises(SidecarUnreadableError, match=r"a\.xml"):
        read(tmp_path / "a.xml", XML.encode()[:length])


def test_of_many_sections_the_one_that_names_the_movie_counts(tmp_path: Path) -> None:
    sections = "".join(
        f"[FrameSet = {n}]\nPixelSpacing = {n + 1}\nSubFramePath = X:\\f\\{name}\n"
        for n, name in enumerate(["other.tif", "MOVIE.TIF", "movie.tif", "last.tif"])
    )
    assert read(tmp_path / "a.mdoc", sections.encode()).pixel_size_angstrom == 3, "recorded twice: the last"
    converted = sections.replace("MOVIE.TIF", "x.tif").replace("movie.tif", "movie.mrc")
    assert read(tmp_path / "a.mdoc", converted.encode()).pixel_size_angstrom == 3
    nobody = read(tmp_path / "a.mdoc", sections.replace("MOVIE.TIF", "x.tif").replace("movie.tif", "y.tif").encode())
    assert nobody.pixel_size_angstrom is None
    assert nobody.remarks == ("none of its 4 sections names the movie",)
    continuous = "[FrameSet = 0]\nPixelSpacing = 5\n[ZValue = 0]\nTiltAngle = 1\n[ZValue = 1]\nTiltAngle = 2\n"
    assert read(tmp_path / "a.mdoc", continuous.encode()).pixel_size_angstrom == 5
