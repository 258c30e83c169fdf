"""Published exposures as JSON text for clients: one, or a page that ends by rows and by bytes.

The text equals what the models `Exposure` and `ExposureList` would write. It is put together from what the database
keeps, because making the models anew takes most of the time of a page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from api.database.tables import exposure_records, exposures, registrations
from api.store.kept_records import text_to_show
from api.store.verdicts import verdicts_of
from transfer.wire.verdict import Verdict

PAGE_BYTES = 1_000_000
"""A page ends when its records have so many bytes; it has one exposure at least."""
_READ_AHEAD = 1  # rows: records of older versions may have megabytes each


def exposure_text(connection: Connection, version: int, *conditions: ColumnElement[bool]) -> str | None:
    """Return the exposure that meets the conditions, in a version of the protocol; None if there is none."""
    row = connection.execute(_newest_records().where(*conditions)).one_or_none()
    if row is None:
        return None
    words, said = _registrations(connection, [row]), verdicts_of(connection, [row.id])
    return _text(row, text_to_show(row.record, row.form, version), words, said)


def page_text(connection: Connection, version: int, session_id: int, after: int, limit: int) -> str:
    """Return a page of a session's exposures, in the order of publication, in a version of the protocol.

    Parameters
    ----------
    after
        `exposures.id` that the page begins after.
    limit
        The largest number of exposures on the page.
    """
    wanted = (
        _newest_records()
        .where(exposures.c.session_id == session_id, exposures.c.id > after)
        .order_by(exposures.c.id)
        .limit(limit + 1)
        .execution_options(yield_per=_READ_AHEAD)
    )
    rows: list[Any] = []
    records: list[str] = []
    size_bytes, has_more = 0, False
    with connection.execute(wanted) as found:
        for row in found:
            record = text_to_show(row.record, row.form, version)
            size_bytes += len(record.encode())
            has_more = len(rows) == limit or (bool(rows) and size_bytes > PAGE_BYTES)
            if has_more:
                break
            rows.append(row)
            records.append(record)
    words, said = _registrations(connection, rows), verdicts_of(connection, [row.id for row in rows])
    texts = (_text(row, record, words, said) for row, record in zip(rows, records, strict=True))
    following = json.dumps(str(rows[-1].id) if has_more else None)
    return f'{{"exposures":[{",".join(texts)}],"next":{following}}}'


def _newest_records() -> Any:
    return select(
        exposures.c.id, exposures.c.revision, exposures.c.micrograph_name, exposure_records.c.record,
        exposure_records.c.form,
    ).join(
        exposure_records,
        (exposure_records.c.exposure == exposures.c.id) & (exposure_records.c.revision == exposures.c.revision),
    )  # fmt: skip


def _registrations(connection: Connection, rows: Iterable[Any]) -> dict[int, list[dict[str, str]]]:
    """Return how far the registrars are with the newest revision of exposures, by `exposures.id`."""
    newest = {row.id: row.revision for row in rows}
    words: dict[int, list[dict[str, str]]] = {}
    found = connection.execute(select(registrations).where(registrations.c.exposure.in_(newest))).all()
    for row in sorted(found, key=lambda row: row.id):
        if row.revision == newest[row.exposure]:
            word = {"registrar": row.registrar, "state": row.state, "detail": row.detail}
            words.setdefault(row.exposure, []).append(word)
    return words


def _text(row: Any, record: str, words: dict[int, list[dict[str, str]]], said: dict[int, Verdict]) -> str:
    name, states, verdict = _json(row.micrograph_name), _json(words.get(row.id, [])), said[row.id].model_dump_json()
    return f'{{"record":{record},"micrograph_name":{name},"registrations":{states},"verdict":{verdict}}}'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
