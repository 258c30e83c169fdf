"""The metadata of a session in the form of OSC-EM (Open Standards Community for Electron Microscopy).

The schema is `oscem_schemas_spa` 1.0, for single particles.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api.exports.documents import Gaps, only_known, usual
from api.exports.summary import Extent, SessionSummary
from transfer.wire.session_metadata import Person, SampleMetadata, SessionMetadata

NAME = "oscem.json"

Document = dict[str, Any]


def oscem_document(session: SessionSummary, given: SessionMetadata, gaps: Gaps) -> Document:
    """Return the document of a session; `gaps` gets what the schema requires and is not known."""
    document = {
        "acquisition": _acquisition(session, given, gaps),
        "instrument": _instrument(session, given, gaps),
        "sample": _sample(given.sample, given, gaps),
        "organizational": _organizational(given, gaps),
        "processing": _processing(session),
    }
    known: Document = only_known(document)
    return known


def _acquisition(session: SessionSummary, given: SessionMetadata, gaps: Gaps) -> Document:
    instrument = given.instrument
    binning = gaps.need("instrument.camera_binning", instrument.camera_binning)
    detector = gaps.need("instrument.detector_name", instrument.detector_name)
    magnification = usual(session.magnification)
    width = instrument.energy_filter_width_ev
    kind = usual(session.micrographs)
    pixel_size = usual(session.movie_pixel_size_angstrom)
    is_unbinned = kind is not None and kind.pixel_size_angstrom == pixel_size
    return {
        "technique": "spa",
        "date_time": _time(session.first_exposed_at or session.began_at),
        "detectors": [{"name": detector, "mode": instrument.detector_mode}] if detector else None,
        "binning_camera": binning and {"width": binning, "height": binning},
        "pixel_size": _quantity(pixel_size, "Å"),
        "image_size": {"width": kind.width_px, "height": kind.height_px} if kind and is_unbinned else None,
        "dose_per_movie": _quantity(session.dose_e_per_a2.mean, "1/Å^2"),
        "exposure_time": _quantity(session.exposure_time_s.mean, "s"),
        "frames_per_movie": usual(session.frame_count),
        "images_generated": session.count,
        "nominal_magnification": None if magnification is None else round(magnification),
        "nominal_defocus": _range(session.target_defocus_um, "nm", 1000.0),
        "imageshift": _box(session.image_shift_x_um, session.image_shift_y_um, "µm"),
        "beamtiltgroups": len(session.groups),
        "energy_filter": None
        if width is None
        else {"used": True, "model": instrument.energy_filter_model, "width_energy_filter": _quantity(width, "eV")},
        "holder": instrument.holder,
        "cryogen": instrument.cryogen,
        "microscope_software": instrument.microscope_software,
    }


def _instrument(session: SessionSummary, given: SessionMetadata, gaps: Gaps) -> Document:
    instrument = given.instrument
    model = gaps.need("instrument.microscope_model", instrument.microscope_model)
    return {
        "microscope": {"model": model, "manufacturer": instrument.microscope_manufacturer if model else None},
        "illumination": gaps.need("instrument.illumination", instrument.illumination),
        "imaging": gaps.need("instrument.imaging", instrument.imaging),
        "electron_source": gaps.need("instrument.electron_source", instrument.electron_source),
        "acceleration_voltage": _quantity(usual(session.voltage_kv), "kV"),
        "cs": _quantity(usual(session.cs_mm), "mm"),
        "c2_aperture": _quantity(instrument.c2_aperture_um, "µm"),
        "operating_mode": instrument.operating_mode,
    }


def _sample(sample: SampleMetadata, given: SessionMetadata, gaps: Gaps) -> Document | None:
    """Return the sample, which the schema requires to have a molecule's name and source."""
    grid = given.grid
    if sample == SampleMetadata() and grid == type(grid)():
        return None
    return {
        "description": given.description,
        "overall_molecule": {
            "name_sample": gaps.need("sample.name", sample.name),
            "source": gaps.need("sample.source", sample.source),
            "molecular_overall_type": sample.type,
            "assembly": sample.assembly,
            "molecular_weight": _quantity(sample.molecular_weight_kda, "kDa"),
        },
        "molecule": [
            {
                "name_mol": one.name,
                "molecular_type": one.type,
                "sequence": one.sequence,
                "natural_source": one.natural_source,
                "taxonomy_id_source": one.taxonomy_id_source,
                "expression_system": one.expression_system,
                "gene_name": one.gene_name,
            }
            for one in sample.molecules
        ],
        "specimen": {
            "buffer": sample.buffer,
            "concentration": _quantity(sample.concentration_mg_per_ml, "mg/ml"),
            "ph": sample.ph,
            "vitrification": sample.vitrification,
            "vitrification_cryogen": sample.vitrification_cryogen,
            "humidity": _quantity(sample.humidity_percent, "%"),
            "temperature": _quantity(sample.temperature_k, "K"),
        },
        "grid": {
            "manufacturer": grid.manufacturer,
            "material": grid.material,
            "mesh": grid.mesh,
            "film_material": grid.film_material,
            "film_topology": grid.film_topology,
            "film_thickness": grid.film_thickness,
            "pretreatment_type": grid.pretreatment_type,
            "pretreatment_time": _quantity(grid.pretreatment_time_s, "s"),
            "pretreatment_atmosphere": grid.pretreatment_atmosphere,
        },
    }


def _organizational(given: SessionMetadata, gaps: Gaps) -> Document | None:
    people = given.authors or ((given.owner,) if given.owner else ())
    if not people and not given.grants:
        return None
    gaps.need("authors", people)
    return {
        "authors": [
            _author(one, f"authors.{number}" if given.authors else "owner", gaps)
            for number, one in enumerate(people, 1)
        ],
        "grants": [
            {"grant_name": one.name, "project_id": one.project_id, "country": one.country} for one in given.grants
        ],
        "funder": [{"funder_name": one.funder, "country": one.country} for one in given.grants if one.funder],
    }


def _author(one: Person, place: str, gaps: Gaps) -> Document:
    return {
        "family_name": gaps.need(f"{place}.family_name", one.family_name),
        "given_name": gaps.need(f"{place}.given_name", one.given_name),
        "email": gaps.need(f"{place}.email", one.email),
        "type_org": gaps.need(f"{place}.organization_type", one.organization_type),
        "name_org": one.organization,
        "orcid": one.orcid,
        "country": one.country,
        "role": one.role,
        "telephone": one.telephone,
    }


def _processing(session: SessionSummary) -> Document:
    software = [{"descriptor_name": "Software", "descriptor_thing": name} for name in sorted(session.software)]
    gains = [{"descriptor_name": "Gain reference, BLAKE3", "descriptor_thing": one} for one in session.gain_digests]
    return {
        "movies": {
            "dose_per_image": _quantity(session.dose_e_per_a2.mean, "e/Å^2"),
            "initial_dose": _quantity(session.pre_exposure_e_per_a2.mean, "e/Å^2"),
            "descriptors": [*software, *gains],
        },
        "micrographs": {"number_micrographs": session.count},
        "ctfs": {
            "amplitude_contrast": usual(session.amplitude_contrast),
            "defocus": _statistics(session.defocus_angstrom, "defocus"),
            "resolution": _statistics(session.resolution_angstrom, "resolution"),
        }
        if session.defocus_angstrom.count
        else None,
    }


def _statistics(values: Extent, name: str) -> Document:
    return {
        f"output_min_{name}": _quantity(values.least, "Å"),
        f"output_max_{name}": _quantity(values.most, "Å"),
        f"output_avg_{name}": _quantity(values.mean, "Å"),
    }


def _quantity(value: float | None, unit: str) -> Document | None:
    return None if value is None else {"value": float(f"{value:.7g}"), "unit": unit}


def _range(values: Extent, unit: str, factor: float) -> Document | None:
    if values.least is None or values.most is None:
        return None
    return {"minimal": _quantity(values.least * factor, unit), "maximal": _quantity(values.most * factor, unit)}


def _box(x: Extent, y: Extent, unit: str) -> Document:
    ends = {"x_min": x.least, "x_max": x.most, "y_min": y.least, "y_max": y.most}
    return {name: _quantity(value, unit) for name, value in ends.items()}


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
