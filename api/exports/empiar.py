"""The metadata of a session in the form of a deposition to EMPIAR (`empiar_deposition.schema.json`)."""

from __future__ import annotations

from typing import Any

from api.exports.documents import Gaps, only_known, usual
from api.exports.summary import MicrographKind, SessionSummary
from transfer.wire.session_metadata import Person, SessionMetadata

NAME = "empiar.json"
RELEASES = {"directly": "RE", "after-emdb": "EP", "after-publication": "HP", "after-a-year": "HO"}
SCALES = {"molecule": "1", "virus": "2", "cell": "3", "tissue": "4", "organism": "5"}
EXPERIMENT_TYPE = 3
"""Raw image data relating to structures in the EMDB."""
SINGLE_FRAME, MULTIFRAME = "('T1', '')", "('T2', '')"
FORMATS = {"MRC": "('T1', '')", "MRCS": "('T2', '')", "TIFF": "('T3', '')", "EER": "('T9', '')"}
VOXELS = {
    "UNSIGNED BYTE": "('T1', '')",
    "SIGNED BYTE": "('T2', '')",
    "UNSIGNED 16 BIT INTEGER": "('T3', '')",
    "SIGNED 16 BIT INTEGER": "('T4', '')",
    "32 BIT FLOAT": "('T7', '')",
    "BIT": "('T8', '')",
    "4 BIT INTEGER": "('T9', '')",
}
VOXELS_OF_MODE = {
    0: VOXELS["SIGNED BYTE"],
    1: VOXELS["SIGNED 16 BIT INTEGER"],
    2: VOXELS["32 BIT FLOAT"],
    6: VOXELS["UNSIGNED 16 BIT INTEGER"],
    12: "('OT', '16 BIT FLOAT')",
}
"""The voxel type of each mode that a registered micrograph may have."""

Document = dict[str, Any]


def empiar_document(session: SessionSummary, given: SessionMetadata, gaps: Gaps) -> Document:
    """Return the deposition of a session; `gaps` gets what the schema requires and is not known."""
    owner = given.owner or Person()
    authors = _authors(given, gaps)
    investigators = given.principal_investigators or ((given.owner,) if given.owner else ())
    deposition = given.deposition
    document = {
        "title": gaps.need("title", given.title),
        "release_date": RELEASES[deposition.release],
        "experiment_type": EXPERIMENT_TYPE,
        "scale": SCALES.get(deposition.scale or ""),
        "cross_references": [{"name": name} for name in deposition.emdb],
        "authors": authors,
        "corresponding_author": _contact(owner, "owner", gaps),
        "principal_investigator": [
            _contact(one, f"principal_investigators.{number}" if given.principal_investigators else "owner", gaps)
            for number, one in enumerate(investigators, 1)
        ],
        "imagesets": _image_sets(session, given),
        "citation": [_citation(given, authors, gaps)],
    }
    known: Document = only_known(document)
    return known


def _authors(given: SessionMetadata, gaps: Gaps) -> list[Document]:
    people = given.authors or ((given.owner,) if given.owner else ())
    gaps.need("authors", people)
    found = []
    for number, one in enumerate(people):
        place = f"authors.{number + 1}" if given.authors else "owner"
        family = gaps.need(f"{place}.family_name", one.family_name)
        name = gaps.need(f"{place}.given_name", one.given_name)
        if family and name:
            found.append({"name": _author(family, name), "order_id": number, "author_orcid": one.orcid})
    return found


def _author(family: str, given: str) -> str:
    """Return how EMPIAR writes an author: the given name as initials."""
    initials = "".join(part[0] for part in given.replace("-", " ").split())
    return f"('{family.replace(chr(39), chr(0x2019))}', '{initials.upper()}')"


def _contact(person: Person, place: str, gaps: Gaps) -> Document:
    return {
        "first_name": gaps.need(f"{place}.given_name", person.given_name),
        "last_name": gaps.need(f"{place}.family_name", person.family_name),
        "organization": gaps.need(f"{place}.organization", person.organization),
        "email": gaps.need(f"{place}.email", person.email),
        "country": gaps.need(f"{place}.country", person.country),
        "author_orcid": person.orcid,
        "street": person.street,
        "town_or_city": person.town_or_city,
        "state_or_province": person.state_or_province,
        "post_or_zip": person.post_or_zip,
        "telephone": person.telephone,
    }


def _image_sets(session: SessionSummary, given: SessionMetadata) -> list[Document]:
    sets = [_micrographs(session, kind, count) for kind, count in session.micrographs.items()]
    movies = given.movies
    if movies.format is not None and movies.voxel_type is not None:
        pixel_size = usual(session.movie_pixel_size_angstrom)
        sets.append(
            {
                "name": f"Movies of the session {session.name}",
                "directory": "data/movies",
                "category": MULTIFRAME,
                "header_format": FORMATS[movies.format],
                "data_format": FORMATS[movies.format],
                "num_images_or_tilt_series": session.count,
                "frames_per_image": usual(session.frame_count),
                "voxel_type": VOXELS[movies.voxel_type],
                "pixel_width": pixel_size,
                "pixel_height": pixel_size,
                "image_width": movies.width_px,
                "image_height": movies.height_px,
            }
        )
    return sets


def _micrographs(session: SessionSummary, kind: MicrographKind, count: int) -> Document:
    size = f", {kind.width_px} x {kind.height_px} px" if len(session.micrographs) > 1 else ""
    return {
        "name": f"Motion-corrected, dose-weighted micrographs of the session {session.name}{size}",
        "directory": "data/micrographs",
        "category": SINGLE_FRAME,
        "header_format": FORMATS["MRC"],
        "data_format": FORMATS["MRC"],
        "num_images_or_tilt_series": count,
        "frames_per_image": 1,
        "voxel_type": VOXELS_OF_MODE[kind.mode],
        "pixel_width": kind.pixel_size_angstrom,
        "pixel_height": kind.pixel_size_angstrom,
        "image_width": kind.width_px,
        "image_height": kind.height_px,
        "details": f"Made with {', '.join(sorted(session.software))}" if session.software else None,
    }


def _citation(given: SessionMetadata, authors: list[Document], gaps: Gaps) -> Document:
    citation = given.citation
    return {
        "authors": authors,
        "editors": None,
        "published": citation.published,
        "j_or_nj_citation": True,
        "title": gaps.need("citation.title", citation.title or given.title),
        "journal": citation.journal,
        "year": citation.year,
        "doi": citation.doi,
    }
