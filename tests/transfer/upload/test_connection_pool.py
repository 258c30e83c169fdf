"""Connections are made when they are needed, and kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from transfer.connections.tcp import TcpInfo
from transfer.upload.connection_pool import ConnectionPool


@dataclass(eq=False)
class Scripted:
    """Stands for a connection, without a socket."""

    told: TcpInfo | None = None
    congestion_control: str | None = "cubic"
    calls: list[str] = field(default_factory=list)

    def info(self) -> TcpInfo | None:
        return self.told

    def use_bbr(self) -> None:
        self.calls.append("use_bbr")
        self.congestion_control = "bbr"

    def close(self) -> None:
        self.calls.append("close")


def test_the_connection_that_was_used_last_is_taken_first() -> None:
    made = [Scripted(), Scripted()]
    pool = ConnectionPool(iter(made).__next__)
    first, second = pool.take(), pool.take()
    assert [first, second] == made
    pool.give_back(second)
    pool.give_back(first)
    assert [pool.take(), pool.take()] == [first, second]


def test_bbr_is_asked_for_now_and_on_later_connections() -> None:
    made = [Scripted(), Scripted(), Scripted()]
    pool = ConnectionPool(iter(made).__next__)
    pool.take()
    pool.give_back(pool.take())
    pool.use_bbr()
    pool.take()
    pool.take()
    assert [connection.calls for connection in made] == [["use_bbr"]] * 3


def test_figures_keep_their_number_and_unknown_names_are_left_out() -> None:
    figures = TcpInfo(0.1, 0.1, 10, 0, 1000)
    made = [Scripted(), Scripted(figures, "bbr"), Scripted(congestion_control=None)]
    pool = ConnectionPool(iter(made).__next__)
    for _ in made:
        pool.take()
    assert pool.samples() == [(1, figures)]
    assert pool.congestion_controls() == {"cubic", "bbr"}


def test_every_connection_is_closed_whether_it_is_used_or_not() -> None:
    made = [Scripted(), Scripted()]
    pool = ConnectionPool(iter(made).__next__)
    pool.take()
    pool.give_back(pool.take())
    pool.close()
    assert [connection.calls for connection in made] == [["close"]] * 2
