"""How the plugin applies verdicts: when, and never over a person. The module needs no Scipion."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import pytest

ACCEPTED, REJECTED = {"accepted": True, "by": "threshold"}, {"accepted": False, "by": "threshold"}


@pytest.fixture(scope="module")
def verdicts() -> Any:
    path = Path(__file__).parents[2] / "deploy" / "scipion-plugin" / "cryoferry_scipion" / "verdicts.py"
    spec = importlib.util.spec_from_file_location("plugin_verdicts", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Item:
    """What the module uses of an item of a set."""

    def __init__(self) -> None:
        self.enabled, self.comment = True, ""

    def isEnabled(self) -> bool:  # noqa: N802 - Scipion's name
        return self.enabled

    def setEnabled(self, enabled: bool) -> None:  # noqa: N802
        self.enabled = enabled

    def getObjComment(self) -> str:  # noqa: N802
        return self.comment

    def setObjComment(self, comment: str) -> None:  # noqa: N802
        self.comment = comment


class Sets:
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.judged: list[set[str]] = []

    def judge(self, names: set[str]) -> set[str]:
        self.judged.append(names)
        return names & {"held"}


class Answers:
    """Keeps the answers."""

    def __init__(self) -> None:
        self.given: list[dict[str, Any]] = []

    def has(self, entry: dict[str, Any]) -> bool:
        return entry["seq"] in [answer["seq"] for answer in self.given]

    def add(self, answers: list[dict[str, Any]]) -> None:
        self.given += answers


def entry(seq: int, name: str, verdict: dict[str, Any]) -> dict[str, Any]:
    return {"seq": seq, "type": "verdict", "name": name, "revision": 1, **verdict}


def test_a_person_and_verdicts_in_every_order(verdicts: Any) -> None:
    """A person's change stays until that person takes it back; then the next verdict counts again."""
    for events in itertools.product((ACCEPTED, REJECTED, None), repeat=7):
        item, followed, is_persons = Item(), True, False
        for event in events:
            if event is None:
                item.enabled, is_persons = not item.enabled, not is_persons
                continue
            before = item.enabled
            verdicts.settle(item, verdicts.comment_on_micrograph(event))
            if is_persons:
                assert item.enabled == before
            else:
                followed = event["accepted"]
                assert item.enabled == followed
            assert verdicts.belongs_to_a_person(item) == is_persons


def test_a_comment_of_a_persons_own_stays_with_what_is_accepted(verdicts: Any) -> None:
    item = Item()
    item.comment = "a good one"
    assert not verdicts.settle(item, "")
    assert item.comment == "a good one"


def test_sets_are_written_at_most_every_five_seconds(verdicts: Any) -> None:
    sets, answers = Sets(), Answers()
    said = verdicts.Verdicts(answers)
    said.apply(sets, 0.0)
    for number in range(100):
        said.take([entry(number, f"{number}.mrc", REJECTED)])
        said.apply(sets, number / 10)
    assert [len(names) for names in sets.judged] == [1, 50]
    said.apply(sets)
    assert [len(names) for names in sets.judged] == [1, 50, 49]
    assert [answer["seq"] for answer in answers.given] == list(range(100))


def test_what_was_answered_is_known_and_not_done_again(verdicts: Any) -> None:
    sets, answers = Sets(), Answers()
    journal = [entry(1, "a", REJECTED), entry(2, "held", REJECTED), entry(3, "a", ACCEPTED)]
    first = verdicts.Verdicts(answers)
    first.take(journal[:2])
    assert first.apply(sets) == ["held"]
    assert [answer.get("held") for answer in answers.given] == [None, True]
    again = verdicts.Verdicts(answers)
    again.take(journal)
    assert (again.on("a"), again.on("held"), again.on("other")) == (journal[2], journal[1], verdicts.NOTHING_SAID)
    again.apply(sets)
    assert sets.judged == [{"a", "held"}, {"a"}]
