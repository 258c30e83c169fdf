"""A connection without a socket: what a test gives it, it answers or raises."""

from __future__ import annotations

from collections.abc import Callable

from transfer.connections.contract import Put, SendCallbacks
from transfer.connections.tcp import TcpInfo
from transfer.wire.errors import LinkLost


class ScriptedConnection:
    """Notes what is done with it, and gives the answers of a script in their order."""

    congestion_control: str | None = None

    def __init__(self, *answers: bytes | Exception) -> None:
        self.generation = 0
        self.done: list[str] = []
        self._answers = list(answers)

    def send(self, put: Put, callbacks: SendCallbacks) -> None:
        self.done.append(f"send {put.target}")

    def answer(self, check_stop: Callable[[], None]) -> bytes:
        self.done.append("answer")
        answer = self._answers.pop(0)
        if isinstance(answer, LinkLost):
            self.close()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def info(self) -> TcpInfo | None:
        return None

    def use_bbr(self) -> None:
        self.done.append("use_bbr")

    def close(self) -> None:
        self.generation += 1
