"""What people say of a session and no file of the microscope has: owner, instrument, grid, sample.

Archives ask for it: `api.exports` fills OSC-EM's and EMPIAR's files from it. Every field is optional. Unlike what
programs send each other, a field that is not known is refused: it would be a mistake in what a person wrote.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from transfer.wire.errors import BadMetadata
from transfer.wire.fail_fast import Listed
from transfer.wire.receipt import Record

MAX_METADATA_BYTES = 64_000
"""Of a session's metadata as JSON: a receiver takes no larger request of this kind."""
_SHOWN = 10
"""Mistakes that are named at once."""


def _without_nul(text: str) -> str:
    """Refuse what no receiver takes, before a session is started."""
    if "\0" in text:
        raise PydanticCustomError("text_nul", "Text should have no NUL")
    return text


WithoutNul = AfterValidator(_without_nul)
Text = Annotated[str, StringConstraints(min_length=1, max_length=255), WithoutNul]
LongText = Annotated[str, StringConstraints(min_length=1, max_length=10_000), WithoutNul]
SequenceText = Annotated[str, StringConstraints(min_length=1, max_length=20_000), WithoutNul]
Pixels = Annotated[int, Field(ge=1, le=1_000_000)]
Email = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.+-]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9-.]+$", max_length=255)]
Orcid = Annotated[str, StringConstraints(pattern=r"^([0-9]{4}-){3}[0-9]{3}[0-9X]$")]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
VoxelType = Literal[
    "UNSIGNED BYTE",
    "SIGNED BYTE",
    "UNSIGNED 16 BIT INTEGER",
    "SIGNED 16 BIT INTEGER",
    "32 BIT FLOAT",
    "BIT",
    "4 BIT INTEGER",
]
Organization = Literal["Academic", "Commercial", "Government", "Other"]


class GivenSection(Record):
    """A section of what a person gives."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Person(GivenSection):
    """Who owns, records or publishes a session."""

    family_name: Text | None = None
    given_name: Text | None = None
    email: Email | None = None
    orcid: Orcid | None = None
    role: Text | None = None
    telephone: Text | None = None
    organization: Text | None = None
    organization_type: Organization | None = None
    street: Text | None = None
    town_or_city: Text | None = None
    state_or_province: Text | None = None
    post_or_zip: Text | None = None
    country: Country | None = Field(default=None, description="two letters, ISO 3166-1")


class Grant(GivenSection):
    """What pays for a session."""

    name: Text | None = None
    project_id: Text | None = None
    funder: Text | None = None
    country: Country | None = None


class InstrumentMetadata(GivenSection):
    """Microscope and camera, as far as files of the microscope do not tell."""

    microscope_model: Text | None = None
    microscope_manufacturer: Text | None = None
    microscope_software: Text | None = None
    electron_source: Text | None = Field(default=None, examples=["FEG"])
    illumination: Text | None = Field(default=None, examples=["Flood Beam"])
    imaging: Text | None = Field(default=None, examples=["Brightfield"])
    operating_mode: Text | None = Field(default=None, examples=["TEM"])
    c2_aperture_um: FiniteFloat | None = Field(default=None, gt=0)
    detector_name: Text | None = None
    detector_mode: Text | None = Field(default=None, examples=["counting"])
    camera_binning: int | None = Field(default=None, ge=1, le=64)
    energy_filter_model: Text | None = None
    energy_filter_width_ev: FiniteFloat | None = Field(default=None, gt=0)
    holder: Text | None = None
    cryogen: Text | None = None


class GridMetadata(GivenSection):
    """The grid."""

    manufacturer: Text | None = None
    material: Text | None = None
    mesh: FiniteFloat | None = Field(default=None, gt=0)
    film_material: Text | None = None
    film_topology: Text | None = None
    film_thickness: Text | None = None
    pretreatment_type: Text | None = None
    pretreatment_time_s: FiniteFloat | None = Field(default=None, gt=0)
    pretreatment_atmosphere: Text | None = None


class Molecule(GivenSection):
    """One molecule of a sample."""

    name: Text
    sequence: SequenceText
    natural_source: Text
    type: Text | None = None
    taxonomy_id_source: Text | None = None
    expression_system: Text | None = None
    gene_name: Text | None = None


class SampleMetadata(GivenSection):
    """What is on the grid."""

    name: Text | None = None
    source: Text | None = None
    type: Literal["CELL", "COMPLEX", "ORGANELLE OR CELLULAR COMPONENT", "RIBOSOME", "TISSUE", "VIRUS"] | None = None
    assembly: Literal["FILAMENT", "HELICAL ARRAY", "PARTICLE"] | None = None
    molecular_weight_kda: FiniteFloat | None = Field(default=None, gt=0)
    molecules: Listed[Molecule] = ()
    buffer: Text | None = None
    concentration_mg_per_ml: FiniteFloat | None = Field(default=None, gt=0)
    ph: FiniteFloat | None = Field(default=None, ge=0, le=14)
    vitrification: bool | None = None
    vitrification_cryogen: Text | None = None
    humidity_percent: FiniteFloat | None = Field(default=None, ge=0, le=100)
    temperature_k: FiniteFloat | None = Field(default=None, gt=0)


class MoviesMetadata(GivenSection):
    """The movies as they are recorded, for an archive: they stay at the microscope."""

    format: Literal["MRC", "MRCS", "TIFF", "EER"] | None = None
    voxel_type: VoxelType | None = None
    width_px: Pixels | None = None
    height_px: Pixels | None = None


class Citation(GivenSection):
    """The publication about a session."""

    title: Text | None = None
    published: bool = False
    journal: Text | None = None
    year: int | None = Field(default=None, ge=1000, le=9999)
    doi: Text | None = None


class DepositionMetadata(GivenSection):
    """What EMPIAR asks for about the entry."""

    release: Literal["directly", "after-emdb", "after-publication", "after-a-year"] = "after-publication"
    scale: Literal["molecule", "virus", "cell", "tissue", "organism"] | None = None
    emdb: Listed[Annotated[str, StringConstraints(pattern=r"^EMD-[0-9]{4,}$")]] = ()


class SessionMetadata(GivenSection):
    """All that is given of one session."""

    title: Annotated[str, StringConstraints(min_length=10, max_length=255), WithoutNul] | None = None
    description: LongText | None = None
    owner: Person | None = None
    authors: Listed[Person] = ()
    principal_investigators: Listed[Person] = ()
    grants: Listed[Grant] = ()
    instrument: InstrumentMetadata = InstrumentMetadata()
    grid: GridMetadata = GridMetadata()
    sample: SampleMetadata = SampleMetadata()
    movies: MoviesMetadata = MoviesMetadata()
    citation: Citation = Citation()
    deposition: DepositionMetadata = DepositionMetadata()


def checked_metadata(values: Any) -> SessionMetadata:
    """Return what a person has given, if it is right.

    Raises
    ------
    BadMetadata
        It names each mistake by its place, and the nearest name for a field that is not known.
    """
    try:
        return SessionMetadata.model_validate(values)
    except ValidationError as error:
        found = error.errors()
        told = [f"{_place(each['loc'])}: {_why(each['loc'], each['type'], each['msg'])}" for each in found[:_SHOWN]]
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise BadMetadata("; ".join(told) + more) from error


def _place(steps: tuple[int | str, ...]) -> str:
    """Return where a mistake is, in the words of the file: the second author is `authors.2`."""
    return ".".join(str(step + 1) if isinstance(step, int) else step for step in steps) or "the file"


def _why(steps: tuple[int | str, ...], kind: str, message: str) -> str:
    if kind != "extra_forbidden":
        return message[:1].lower() + message[1:]
    near = difflib.get_close_matches(str(steps[-1]), _names_at(steps[:-1]), n=1, cutoff=0.5)
    return "no field of this name is known" + (f"; did you mean {near[0]!r}?" if near else "")


def _names_at(steps: tuple[int | str, ...]) -> list[str]:
    """Return the names of the fields of a section."""
    section: Mapping[str, Any] = SessionMetadata.model_json_schema()
    definitions = section["$defs"]
    for step in steps:
        if isinstance(step, int):
            continue
        wanted = section["properties"][step]
        options = [wanted.get("items", wanted), *wanted.get("anyOf", ())]
        name = next(option["$ref"] for option in options if "$ref" in option)
        section = definitions[name.rpartition("/")[2]]
    return list(section["properties"])
