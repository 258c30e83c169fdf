"""The worker threads that read and write bodies: those of different tokens take turns.

A token may use some of the threads, never all of them. So a body finds a thread, or is the next to get one, however
many bodies another token sends.
"""

from __future__ import annotations

from asyncio import CancelledError, Future, get_running_loop
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self, TypeVar

from anyio import CapacityLimiter, to_thread

Result = TypeVar("Result")


class ThreadTurns:
    """Decides who may use a thread next. Used in one event loop only.

    Parameters
    ----------
    count
        How many threads there are.
    most_each
        How many of them one owner may use at the same time.
    """

    def __init__(self, count: int, most_each: int) -> None:
        self.count, self.most_each = count, most_each
        self._used: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[Future[None]]] = OrderedDict()  # whose turn it is first comes first

    @property
    def is_crowded(self) -> bool:
        """Whether somebody waits for a thread."""
        return bool(self._waiting)

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """Wait for a thread, and hold it."""
        if owner in self._waiting or not self._is_free_for(owner):
            await self._wait(owner)
        else:
            self._used[owner] += 1
        try:
            yield
        finally:
            self._leave(owner)

    def _is_free_for(self, owner: str) -> bool:
        return self._used.total() < self.count and self._used[owner] < self.most_each

    async def _wait(self, owner: str) -> None:
        place = get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(place)
        try:
            await place
        except CancelledError:
            if place.done() and not place.cancelled():
                self._leave(owner)
            elif place in self._waiting.get(owner, ()):
                self._waiting[owner].remove(place)
                self._forget_if_empty(owner)
            raise

    def _leave(self, owner: str) -> None:
        self._used[owner] -= 1
        if not self._used[owner]:
            del self._used[owner]
        for each in [*self._waiting]:
            while self._is_free_for(each) and each in self._waiting:
                place = self._waiting[each].popleft()
                self._waiting.move_to_end(each)
                self._forget_if_empty(each)
                if not place.done():
                    self._used[each] += 1
                    place.set_result(None)
                    break

    def _forget_if_empty(self, owner: str) -> None:
        if not self._waiting[owner]:
            del self._waiting[owner]


class BodyThreads:
    """The threads as one owner of bodies sees them.

    Parameters
    ----------
    turns
        Who may use a thread next.
    owner
        Whose bodies these are: the id of a token.
    """

    def __init__(self, turns: ThreadTurns, owner: str = "", limiter: CapacityLimiter | None = None) -> None:
        self.turns, self._owner = turns, owner
        self._limiter = limiter or CapacityLimiter(turns.count)  # never the one that waits

    def of(self, owner: str) -> Self:
        """Return the same threads as another owner sees them."""
        return type(self)(self.turns, owner, self._limiter)

    async def run(self, act: Callable[..., Result], *arguments: object) -> Result:
        """Call a function in a thread, when it is the owner's turn."""
        async with self.turns.turn(self._owner):
            return await to_thread.run_sync(act, *arguments, limiter=self._limiter)
