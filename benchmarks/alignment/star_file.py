"""Reads STAR files as RELION writes them: enough for figures and coefficients."""

from __future__ import annotations

import shlex
from pathlib import Path

from benchmarks.errors import ResultUnreadable

Block = dict[str, list[str]]


def read_star(path: Path) -> dict[str, Block]:
    """Return the blocks by name without `data_`; in a block, each column's values by name without `_`.

    A value that is not in a loop is a column of one.

    Raises
    ------
    ResultUnreadable
        The file is missing, or a row has another number of values than its loop has columns.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise ResultUnreadable(f"{path}: {error.strerror}") from error
    blocks: dict[str, Block] = {}
    block: Block = {}
    in_loop = False
    for number, line in enumerate(lines, start=1):
        text = line.split(" #")[0].strip() if line.lstrip().startswith("_") else line.strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith("data_"):
            block, in_loop = blocks.setdefault(text.removeprefix("data_"), {}), False
        elif text.startswith("loop_"):
            in_loop = True
        elif text.startswith("_"):
            name, *value = shlex.split(text)
            block[name.removeprefix("_")] = [] if in_loop else value
        else:
            _add_row(block, shlex.split(text), f"{path}, line {number}")
    return blocks


def _add_row(block: Block, values: list[str], place: str) -> None:
    if len(values) != len(block):
        raise ResultUnreadable(f"{place}: {len(values)} values for {len(block)} columns")
    for column, value in zip(block.values(), values, strict=True):
        column.append(value)
