"""What people may give of a session, and how mistakes are named."""

from __future__ import annotations

import pytest

from transfer.wire.errors import BadMetadata
from transfer.wire.session_metadata import checked_metadata


def test_what_is_right_is_kept() -> None:
    given = {"title": "A session of apoferritin", "authors": [{"family_name": "Chang"}], "grid": {"mesh": 300}}
    kept = checked_metadata(given)
    assert kept.model_dump(mode="json", exclude_unset=True) == given
    assert checked_metadata({}) == checked_metadata({"instrument": {}})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sampel": {}}, "sampel: no field of this name is known; did you mean 'sample'?"),
        ({"sample": {"nmae": "x"}}, "sample.nmae: no field of this name is known; did you mean 'name'?"),
        (
            {"owner": {"familyname": "x"}},
            "owner.familyname: no field of this name is known; did you mean 'family_name'?",
        ),
        (
            {"authors": [{}, {"emial": "x"}]},
            "authors.2.emial: no field of this name is known; did you mean 'email'?",
        ),
        ({"xyzzy": 1}, "xyzzy: no field of this name is known"),
        ({"instrument": {"c2_aperture_um": "wide"}}, "instrument.c2_aperture_um: input should be a valid number"),
        (
            {"instrument": {"c2_aperture_um": float("nan")}},
            "instrument.c2_aperture_um: input should be a finite number",
        ),
        ({"owner": {"country": "Switzerland"}}, "owner.country: string should match pattern '^[A-Z]{2}$'"),
        ({"title": "short"}, "title: string should have at least 10 characters"),
        ({"movies": {"format": "JPEG"}}, "movies.format: input should be 'MRC', 'MRCS', 'TIFF' or 'EER'"),
        ([], "the file: input should be a valid dictionary or instance of SessionMetadata"),
    ],
)
def test_each_mistake_is_named(given: object, told: str) -> None:
    with pytest.raises(BadMetadata) as caught:
        checked_metadata(given)
    first = str(caught.value)
    assert first == told or first.startswith(f"{told},")


def test_only_some_of_many_mistakes_are_named() -> None:
    with pytest.raises(BadMetadata, match="and 990 more"):
        checked_metadata({f"no{number}": 1 for number in range(1000)})
