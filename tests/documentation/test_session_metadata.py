"""The example and the table of a session's metadata in docs/exports.md."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from transfer.wire.session_metadata import SessionMetadata, checked_metadata

TEXT = (Path(__file__).parents[2] / "docs" / "exports.md").read_text("utf-8")


def test_the_example_is_accepted() -> None:
    (example,) = re.findall(r"^```ini\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert checked_metadata(tomllib.loads(example)).owner is not None


def test_the_table_names_every_field() -> None:
    definitions = SessionMetadata.model_json_schema()
    known = {name for one in definitions["$defs"].values() for name in one["properties"]} | set(
        definitions["properties"]
    )
    table = TEXT.partition("| section | fields |")[2].partition("\n\n")[0]
    assert {name for one in re.findall(r"`([a-z0-9_.]+)`", table) for name in one.split(".")} == known
