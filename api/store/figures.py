"""Figures of exposures as rows, for pages that sort by them and for thresholds."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert

from api.database.tables import exposure_figures


def replace_figures(connection: Connection, session_id: int, exposure: int, figures: Mapping[str, float]) -> None:
    """Keep the figures of an exposure's newest record instead of those of the record before.

    Parameters
    ----------
    exposure
        `exposures.id`.
    figures
        All of the record, also those that this version does not know.
    """
    connection.execute(delete(exposure_figures).where(exposure_figures.c.exposure == exposure))
    rows = [
        {"exposure": exposure, "session_id": session_id, "name": name, "value": value}
        for name, value in figures.items()
    ]
    if rows:
        connection.execute(insert(exposure_figures), rows)
