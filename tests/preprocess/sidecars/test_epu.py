"""The doses of EPU's XML, each in its own unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from preprocess.exposure.acquisition import resolve_acquisition
from preprocess.movie_warning import MovieWarning
from preprocess.movies import open_movie
from preprocess.sidecars import Sidecar, read_sidecar
from preprocess.simulation import write_tiff

NAMESPACE = "http://schemas.microsoft.com/2003/10/Serialization/Arrays"


def epu_xml(path: Path, camera: str = "EF-Falcon", pixel_size_m: str = "1.0E-10", **doses: str) -> Path:
    entries = "".join(
        f"<a:KeyValueOfstringanyType><a:Key>{key}</a:Key><a:Value>{value}</a:Value></a:KeyValueOfstringanyType>"
        for key, value in doses.items()
    )
    path.write_text(
        f'<MicroscopeImage xmlns="http://schemas.datacontract.org/2004/07/Fei.SharedObjects">'
        f'<CustomData xmlns:a="{NAMESPACE}">{entries}</CustomData><SpatialScale><pixelSize><x>'
        f"<numericValue>{pixel_size_m}</numericValue></x></pixelSize></SpatialScale><microscopeData><acquisition><camera><Name>{camera}</Name>"
        f"</camera></acquisition></microscopeData></MicroscopeImage>"
    )
    return path


def read(path: Path) -> Sidecar:
    sidecar = read_sidecar(path, Path("movie.tiff"))
    assert sidecar is not None
    return sidecar


@pytest.mark.parametrize(
    ("doses", "total", "remarks"),
    [
        ({"Dose": "4.0E+21"}, 40, 0),
        ({"Detectors[EF-Falcon].TotalDose": "40.02"}, 40.02, 0),
        ({"Dose": "4.0E+21", "Detectors[EF-Falcon].TotalDose": "40.02", "DoseOnCamera": "40.01"}, 40, 0),
        ({"DoseOnCamera": "40"}, 40, 0),
        ({"Detectors[BM-Ceta].TotalDose": "3", "Detectors[EF-Falcon].TotalDose": "40"}, 40, 0),
        ({"BinaryResult.Detector": "X", "Detectors[X].TotalDose": "7", "Detectors[EF-Falcon].TotalDose": "40"}, 7, 0),
        ({"Dose": "0", "Detectors[EF-Falcon].TotalDose": "40"}, 40, 0),
        ({"Dose": "4.0E+21", "Detectors[EF-Falcon].TotalDose": "60"}, 40, 1),
        ({"Dose": "40", "Detectors[EF-Falcon].TotalDose": "40"}, 40, 1),
        ({"Dose": "4.0E+21", "DoseOnCamera": "16"}, 40, 1),
        ({"Dose": "0", "DoseOnCamera": "0", "DoseRate": "1.1"}, None, 0),
    ],
)
def test_doses_in_their_units(tmp_path: Path, doses: dict[str, str], total: float | None, remarks: int) -> None:
    sidecar = read(epu_xml(tmp_path / "a.xml", **doses))
    assert sidecar.total_dose_e_per_a2 == (None if total is None else pytest.approx(total))
    assert len(sidecar.remarks) == remarks


def test_the_dose_on_the_camera_is_that_of_a_pixel_of_the_size_given(tmp_path: Path) -> None:
    doses = {"Dose": "1.4410836806690226E+21", "DoseOnCamera": "16.066434172649398"}
    assert read(epu_xml(tmp_path / "a.xml", pixel_size_m="1.0558814239614023E-10", **doses)).remarks == ()
    assert len(read(epu_xml(tmp_path / "b.xml", pixel_size_m="5.28E-11", **doses)).remarks) == 1


def test_a_contradiction_is_a_warning_of_the_movie(tmp_path: Path) -> None:
    movie = tmp_path / "a_fractions.tiff"
    write_tiff(movie, [np.ones((64, 64), np.uint8)] * 4)
    epu_xml(tmp_path / "a.xml", **{"Dose": "4.0E+21", "Detectors[EF-Falcon].TotalDose": "60"})
    warnings: list[MovieWarning] = []
    assert resolve_acquisition(open_movie(movie), warn=warnings.append).dose_per_frame_e_per_a2 == pytest.approx(10)
    (warning,) = [each for each in warnings if each.code == "sidecar-doubtful"]
    assert "40 e/Å² in all by Dose, 60 e/Å² by Detectors[EF-Falcon].TotalDose" in warning.text
    assert "a.xml" in warning.text
