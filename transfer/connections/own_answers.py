"""Tells the receiver's own answers from those of a proxy, a login page or any other program."""

from __future__ import annotations

from transfer.wire.errors import ForeignAnswer, TransferError
from transfer.wire.foreign_answers import Field, foreign_answer
from transfer.wire.problems import error_of
from transfer.wire.protocol import H_PROTOCOL


class OwnAnswers:
    """What one client knows of its receiver's answers; all its connections share it.

    A receiver marks each answer with `Cryoferry-Protocol`; receivers of older versions do not. An answer with a body
    shows by its content whose it is. For one without a body, the mark counts, if the receiver is known to set it.
    """

    def __init__(self) -> None:
        self._are_marked = False

    def check(self, status: int, body: bytes, field: Field, *, where: str) -> None:
        """Make sure that an answer is the receiver's and reports no error.

        Raises
        ------
        TransferError
            The error that the answer describes; ForeignAnswer if it is not the receiver's.
        """
        if not 200 <= status < 300:
            raise self.error_of(status, body, field, where=where)
        if is_marked(field):
            self._are_marked = True
        elif status == 204 and self._are_marked:
            raise foreign_answer(status, body, field, where=where)
        is_json = "json" in (field("Content-Type") or "json").lower()
        if not (is_json and (status == 204 or (status in (200, 201, 202) and body))):
            raise foreign_answer(status, body, field, where=where)

    def error_of(self, status: int, body: bytes, field: Field, *, where: str) -> TransferError:
        """Return the error that an answer describes; ForeignAnswer if it is not the receiver's."""
        error = error_of(status, body, field, where=where)
        if not isinstance(error, ForeignAnswer) and is_marked(field):
            self._are_marked = True
        return error

    def proven(self, field: Field) -> None:
        """Note that an answer is the receiver's, because of its content."""
        self._are_marked = is_marked(field)


def is_marked(field: Field) -> bool:
    """Return whether an answer has the receiver's mark."""
    return field(H_PROTOCOL) is not None
