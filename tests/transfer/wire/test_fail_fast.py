"""Lists and maps of which only the first wrong entry is described."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from transfer.wire.fail_fast import MOST_NAMES, Listed, Named


class Both(BaseModel):
    """A list and a map."""

    listed: Listed[int] = ()
    named: Named[int] = {}


def test_a_wrong_list_has_one_error_and_a_right_one_stays() -> None:
    with pytest.raises(ValidationError) as caught:
        Both.model_validate_json('{"listed": [1, "a", "b", "c"]}')
    assert caught.value.error_count() == 1
    assert Both.model_validate_json('{"listed": [1, 2], "named": {"a": 1}}') == Both(listed=(1, 2), named={"a": 1})


def test_a_map_has_a_largest_size() -> None:
    names = ",".join(f'"{number}": "no number"' for number in range(MOST_NAMES + 1))
    with pytest.raises(ValidationError, match=r"10,001 names") as caught:
        Both.model_validate_json(f'{{"named": {{{names}}}}}')
    assert caught.value.error_count() == 1
