"""Memory that is handed out again with what it held, as pools do, while queued work may still mean to use it."""

from __future__ import annotations

import ctypes
import functools
from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np


class HandedOut(ctypes.Array):  # type: ignore[type-arg]
    """Some memory; goes back where it came from when nothing refers to it any more."""

    _type_ = ctypes.c_char
    _length_ = 0
    memory: bytearray
    give_back: Callable[[], None] | None = None

    def __del__(self) -> None:
        if self.give_back is not None:
            self.give_back()


@functools.cache
def _of_size(size: int) -> type[HandedOut]:
    return type(f"HandedOut{size}", (HandedOut,), {"_type_": ctypes.c_char, "_length_": size})


class ReusedMemory:
    """Hands out memory that came back, by size and by whom it was for, or else new memory full of `rubbish`."""

    def __init__(self, rubbish: int) -> None:
        self._rubbish = bytes([rubbish])
        self._idle: dict[Hashable, list[bytearray]] = defaultdict(list)

    def take(self, size: int, whose: Hashable, when_back: Callable[[], None]) -> HandedOut:
        """Return memory; what came back last is handed out first."""
        idle = self._idle[whose, size]
        memory = idle.pop() if idle else bytearray(self._rubbish * size)
        handed_out = _of_size(size).from_buffer(memory)
        handed_out.memory = memory

        def give_back() -> None:
            idle.append(memory)
            when_back()

        handed_out.give_back = give_back
        return handed_out

    def forget(self) -> None:
        """Keep nothing of what came back."""
        for idle in self._idle.values():
            idle.clear()


def handed_out(array: np.ndarray[Any, Any]) -> HandedOut | None:
    """Return the memory that an array lies in; None if it is not of this kind."""
    owner: Any = array
    while isinstance(owner, np.ndarray | memoryview):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    return owner if isinstance(owner, HandedOut) else None


def without_owner(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an array of NumPy on the same memory, which does not keep it from being given back."""
    owner = handed_out(array)
    if owner is None:
        return array.view(np.ndarray)
    place = array.__array_interface__["data"][0] - ctypes.addressof(owner)
    return np.ndarray(array.shape, array.dtype, owner.memory, place, array.strides)
