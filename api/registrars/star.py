"""Reads and writes the part of RELION's STAR format that the registrar needs: tables of words without spaces.

The starfile package reads all of the format, but needs pandas, which adds seconds to a receiver's start. `read_star`
reads only what `write_star` wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def write_star(path: Path, tables: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
    """Write tables, each a sequence of rows with the same columns in the same order."""
    lines = ["# version 30001", ""]
    for name, rows in tables.items():
        if not rows:
            continue
        lines += [f"data_{name}", "", "loop_"]
        lines += [f"_{column} #{number}" for number, column in enumerate(rows[0], 1)]
        lines += [" ".join(row.values()) for row in rows]
        lines += [""]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def read_star(path: Path) -> dict[str, list[dict[str, str]]]:
    """Return the tables of a file that `write_star` has written."""
    tables: dict[str, list[dict[str, str]]] = {}
    columns: list[str] = []
    rows: list[dict[str, str]] = []
    for line in path.read_text("utf-8").splitlines():
        words = line.split()
        if not words or words[0] in ("#", "loop_"):
            continue
        if words[0].startswith("data_"):
            columns, rows = [], []
            tables[words[0].removeprefix("data_")] = rows
        elif words[0].startswith("_"):
            columns.append(words[0].removeprefix("_"))
        else:
            rows.append(dict(zip(columns, words, strict=True)))
    return tables
