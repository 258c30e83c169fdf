"""Keep the figures of exposures as rows, thresholds of sessions, and verdicts.

The figures of exposures that were published before are taken from their newest records, a few at a time.
"""

from __future__ import annotations

import json
import math
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT_ONCE = 100
"""Records of older versions may have megabytes each."""
NEWEST_RECORDS = sa.text(
    "SELECT exposures.id, exposures.session_id, exposure_records.record"
    " FROM exposures JOIN exposure_records ON exposure_records.exposure = exposures.id"
    " AND exposure_records.revision = exposures.revision"
    " WHERE exposures.id > :after ORDER BY exposures.id LIMIT :at_once"
)
ADD = sa.text(
    "INSERT INTO exposure_figures (exposure, name, session_id, value) VALUES (:exposure, :name, :session_id, :value)"
)
OLD_SECTIONS = {
    "motion": {
        "total_angstrom": "motion_total_angstrom",
        "early_angstrom": "motion_early_angstrom",
        "late_angstrom": "motion_late_angstrom",
    },
    "ctf": {
        "defocus_u_angstrom": "ctf_defocus_u_angstrom",
        "defocus_v_angstrom": "ctf_defocus_v_angstrom",
        "astigmatism_angle_degrees": "ctf_astigmatism_angle_degrees",
        "resolution_angstrom": "ctf_resolution_angstrom",
        "fit_quality": "ctf_fit_quality",
        "phase_shift_degrees": "ctf_phase_shift_degrees",
    },
}
"""Where version 1 of the protocol had figures in a record."""


def upgrade() -> None:
    """Apply."""
    op.add_column("sessions", sa.Column("rejected_count", sa.Integer(), nullable=False, server_default="0"))
    _figures()
    _published_before()
    op.create_index("ix_exposure_figures_by_value", "exposure_figures", ["session_id", "name", "value", "exposure"])
    _thresholds()
    _verdicts()


def _published_before() -> None:
    """Add the figures of the exposures that are there."""
    connection, after = op.get_bind(), 0
    while page := connection.execute(NEWEST_RECORDS, {"after": after, "at_once": AT_ONCE}).all():
        after = page[-1].id
        rows = [
            {"exposure": row.id, "session_id": row.session_id, "name": name, "value": value}
            for row in page
            for name, value in _figures_of(json.loads(row.record)).items()
        ]
        if rows:
            connection.execute(ADD, rows)


def _figures_of(record: dict[str, Any]) -> dict[str, float]:
    """Return the finite figures of a record, of any version of the protocol."""
    found = record.get("figures")
    if found is None:
        sections = {name: record.get(name) or {} for name in OLD_SECTIONS}
        found = {
            figure: sections[name].get(key) for name, names in OLD_SECTIONS.items() for key, figure in names.items()
        }
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def _session_column() -> sa.Column[Any]:
    return sa.Column("session_id", NUMBER, nullable=False)


def _session_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f(f"fk_{table}_session_id"))


def _exposure_column() -> sa.Column[Any]:
    return sa.Column("exposure", NUMBER, autoincrement=False, nullable=False)


def _exposure_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["exposure"], ["exposures.id"], name=op.f(f"fk_{table}_exposure"))


def _figures() -> None:
    op.create_table(
        "exposure_figures",
        _exposure_column(),
        sa.Column("name", sa.String(length=80), nullable=False),
        _session_column(),
        sa.Column("value", sa.Double(), nullable=False),
        _exposure_key("exposure_figures"),
        _session_key("exposure_figures"),
        sa.PrimaryKeyConstraint("exposure", "name", name=op.f("pk_exposure_figures")),
        sqlite_with_rowid=False,
    )


def _thresholds() -> None:
    op.create_table(
        "thresholds",
        _session_column(),
        sa.Column("figure", sa.String(length=80), nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("token_id", sa.String(length=8), nullable=True),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        _session_key("thresholds"),
        sa.PrimaryKeyConstraint("session_id", "figure", "side", name=op.f("pk_thresholds")),
    )
    op.create_table(
        "due_judgements",
        _session_column(),
        sa.Column("after", sa.BigInteger(), nullable=False),
        _session_key("due_judgements"),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_due_judgements")),
    )


def _verdicts() -> None:
    op.create_table(
        "verdicts",
        _exposure_column(),
        sa.Column("is_accepted", sa.Boolean(), nullable=False),
        sa.Column("by", sa.String(length=16), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("token_id", sa.String(length=8), nullable=True),
        sa.Column("comment", sa.Text(), nullable=False),
        _exposure_key("verdicts"),
        sa.PrimaryKeyConstraint("exposure", name=op.f("pk_verdicts")),
    )
    op.create_table(
        "untold_verdicts",
        _exposure_column(),
        sa.Column("registrar", sa.String(length=32), nullable=False),
        _session_column(),
        sa.Column("number", sa.BigInteger(), nullable=False),
        _exposure_key("untold_verdicts"),
        _session_key("untold_verdicts"),
        sa.PrimaryKeyConstraint("exposure", "registrar", name=op.f("pk_untold_verdicts")),
    )
    op.create_index("ix_untold_verdicts_in_order", "untold_verdicts", ["registrar", "session_id", "number"])
