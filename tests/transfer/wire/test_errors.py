"""The tree of errors: documented as it is, every leaf with a sentence, a hint and an exit code of the contract."""

import re

import pytest

from transfer.wire import errors
from transfer.wire.errors import BY_SLUG, TransferError

ALL = list(BY_SLUG.values())


def test_the_tree_in_the_docstring_is_the_tree():
    shown = {}
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^\s*[*+-] ([A-Z]\w+)(?:\s+(\d{3}))?", line):
            shown[match[1]] = int(match[2]) if match[2] else None
    assert set(shown) == {cls.__name__ for cls in ALL}
    for cls in ALL:
        leaf = not cls.__subclasses__()
        assert shown[cls.__name__] == (cls.status if leaf else None), cls.__name__


def test_no_slug_is_used_twice():
    classes = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, TransferError)]
    assert len(classes) == len(ALL)


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_each_error_says_what_happened_and_what_to_do(cls):
    assert cls.title().endswith(".")
    assert cls.hint.endswith((".", ")", "?"))
    assert cls.exit_code in {1, 2, 4, 5, 6, 7, 130}
    assert re.fullmatch(r"[a-z-]+", cls.slug)
    assert str(cls()) == cls.title()
    assert str(cls("a detail")) == "a detail"
    assert cls(hint="do this").hint == "do this"
    assert cls.hint != "do this"


@pytest.mark.parametrize(
    ("cls", "exit_code"),
    [
        (errors.LinkLost, 5),
        (errors.ReceiverFull, 5),
        (errors.RateLimited, 5),
        (errors.ChunkCorrupt, 6),
        (errors.FileCorrupt, 6),
        (errors.AuthRejected, 7),
        (errors.ScopeRejected, 7),
        (errors.CertificateRejected, 7),
        (errors.SourceUnreadable, 4),
        (errors.BadName, 2),
        (errors.BadUrl, 2),
        (errors.NameTaken, 1),
        (errors.SourceChanged, 1),
        (errors.TransferStopped, 130),
    ],
)
def test_exit_codes_are_the_contract(cls, exit_code):
    assert cls.exit_code == exit_code
