"""Whose turn it is to use the threads for bodies."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from api.intake.body_threads import BodyThreads, ThreadTurns


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Turns:
    """Turns that end when the test says so."""

    def __init__(self, count: int, most_each: int) -> None:
        self.turns = ThreadTurns(count, most_each)
        self.begun: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def want(self, name: str) -> None:
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._take(name))

    async def _take(self, name: str) -> None:
        async with self.turns.turn(name[0]):
            self.begun.append(name)
            await self.ends[name].wait()

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await settled()


def test_one_owner_never_has_all_threads() -> None:
    async def run() -> None:
        turns = Turns(3, 2)
        for name in ("a1", "a2", "a3", "b1"):
            turns.want(name)
        await settled()
        assert turns.begun == ["a1", "a2", "b1"]
        assert turns.turns.is_crowded
        await turns.end("b1")
        assert turns.begun == ["a1", "a2", "b1"]  # one thread stays free for others
        await turns.end("a1")
        assert turns.begun[-1] == "a3"
        assert not turns.turns.is_crowded
        for name in ("a2", "a3"):
            await turns.end(name)

    asyncio.run(run())


def test_owners_take_turns_whoever_waits_with_most() -> None:
    async def run() -> None:
        turns = Turns(1, 1)
        names = ["a1", "a2", "a3", "a4", "b1", "b2", "c1"]
        for name in names:
            turns.want(name)
            await settled()
        for number in range(len(names)):
            await turns.end(turns.begun[number])
        assert turns.begun == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]

    asyncio.run(run())


def test_who_no_longer_waits_keeps_no_thread() -> None:
    async def run() -> None:
        turns = Turns(1, 1)
        for name in ("a1", "b1", "b2", "c1"):
            turns.want(name)
            await settled()
        turns.tasks["b1"].cancel()
        await settled()
        turns.ends["a1"].set()
        await asyncio.sleep(0)  # b2 has the thread, and does not know yet
        turns.tasks["b2"].cancel()
        await settled()
        assert turns.begun == ["a1", "c1"]
        await turns.end("c1")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(turns.turns.turn("b"))
        assert not turns.turns.is_crowded

    asyncio.run(run())


def test_functions_run_in_threads_of_their_owner() -> None:
    async def run() -> list[int]:
        threads = BodyThreads(ThreadTurns(4, 2))
        owners = [threads.of(f"owner {number % 3}") for number in range(30)]
        return await asyncio.gather(*(owner.run(pow, number, 2) for number, owner in enumerate(owners)))

    assert asyncio.run(run()) == [number**2 for number in range(30)]
