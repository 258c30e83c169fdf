"""Random sessions of two agents and two registrars: the line always adds up, and what is lost never goes unsaid."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from api.store.session_account import AgentFacts, InFlight, RegistrarFacts, SessionFacts, account_of
from transfer.wire.accounting import AgentAccount, InHands

REGISTRARS, AGENTS, MOVIES = ("relion", "scipion"), (UUID(int=1), UUID(int=2)), 6
EVENTS = ("find", "claim", "hold", "fail", "publish", "register", "refuse", "reject", "delete", "report", "pass")
BEGIN = datetime(2026, 5, 4, tzinfo=UTC)


@dataclass
class Movie:
    """What is true of one movie of one agent."""

    agent: UUID
    state: str = "waiting"
    claimed_at: datetime | None = None
    is_rejected: bool = False
    registered: dict[str, str] = field(default_factory=dict)


class World:
    """What is true, and what the receiver knows of it."""

    def __init__(self) -> None:
        self.moment = BEGIN
        self.movies: dict[tuple[UUID, int], Movie] = {}
        self.agents: dict[UUID, AgentFacts] = {}
        for agent in AGENTS:
            self.report(agent)

    def do(self, event: str, agent: UUID, number: int, registrar: str) -> None:
        movie = self.movies.get((agent, number))
        if event == "find":
            self.movies.setdefault((agent, number), Movie(agent))
        elif event == "report":
            self.report(agent)
        elif event == "pass":
            self.moment += timedelta(seconds=20)
            for one in AGENTS:
                self.report(one)
        elif movie is not None:
            self.change(event, movie, registrar)

    def change(self, event: str, movie: Movie, registrar: str) -> None:
        is_here = movie.state in ("waiting", "held", "failed")
        if event == "claim" and is_here:
            movie.claimed_at = movie.claimed_at or self.moment
        elif event in ("hold", "fail") and movie.state == "waiting":
            movie.state = "held" if event == "hold" else "failed"
        elif event == "publish" and is_here and movie.claimed_at:
            movie.state, movie.registered = "published", dict.fromkeys(REGISTRARS, "pending")
        elif event in ("register", "refuse") and movie.state == "published":
            movie.registered[registrar] = "registered" if event == "register" else "failed"
        elif event == "reject" and movie.state == "published":
            movie.is_rejected = not movie.is_rejected
        elif event == "delete" and movie.state == "published":
            movie.state = "deleted"

    def report(self, agent: UUID) -> None:
        own = [movie for movie in self.movies.values() if movie.agent == agent]

        def hands(is_claimed: bool) -> InHands:
            states = [movie.state for movie in own if bool(movie.claimed_at) == is_claimed]
            return InHands(**{state: states.count(state) for state in ("waiting", "held", "failed")})

        sent = sum(movie.state in ("published", "deleted") for movie in own)
        account = AgentAccount(source=str(agent), sent=sent, claimed=hands(True), unclaimed=hands(False))
        self.agents[agent] = AgentFacts(agent, f"scope-{agent.int}", self.moment, False, account, self.claimed)

    @property
    def claimed(self) -> int:
        return sum(movie.claimed_at is not None for movie in self.movies.values())

    def facts(self) -> SessionFacts:
        published = [movie for movie in self.movies.values() if movie.state == "published"]
        behind = [movie for movie in published if set(movie.registered.values()) != {"registered"}]
        failed = [movie for movie in behind if "failed" in movie.registered.values()]
        registrars = []
        for name in REGISTRARS:
            states = [movie.registered[name] for movie in published]
            shown, pending, refused = (states.count(state) for state in ("registered", "pending", "failed"))
            registrars.append(RegistrarFacts(name, shown, pending, refused, pending + refused))
        return SessionFacts(
            claimed=self.claimed,
            deleted=sum(movie.state == "deleted" for movie in self.movies.values()),
            published=len(published),
            counted=len(published),
            rejected=sum(movie.is_rejected for movie in published),
            unregistered_failed=len(failed),
            unregistered_waiting=len(behind) - len(failed),
            unregistered_rejected=sum(movie.is_rejected for movie in behind),
            registrars=tuple(registrars),
            in_flight=tuple(
                InFlight(movie.agent, movie.claimed_at)
                for movie in self.movies.values()
                if movie.claimed_at and movie.state in ("waiting", "held", "failed")
            ),
            agents=tuple(self.agents.values()),
        )


_EVENT = st.tuples(
    st.sampled_from(EVENTS), st.sampled_from(AGENTS), st.integers(0, MOVIES - 1), st.sampled_from(REGISTRARS)
)


@settings(max_examples=25, deadline=None)
@given(st.lists(_EVENT, min_size=5, max_size=60))
def test_the_line_adds_up_and_what_is_lost_is_said(events: list[tuple[str, UUID, int, str]]) -> None:
    world = World()
    for event in events:
        world.do(*event)
        account = account_of(world.facts(), world.moment)
        assert account.adds_up, account.line()
        assert account.alarms == ()
    for agent in AGENTS:
        world.report(agent)
    facts, states = world.facts(), [movie.state for movie in world.movies.values()]
    account = account_of(facts, world.moment)
    everywhere = [each for each in world.movies.values() if set(each.registered.values()) == {"registered"}]
    shown = [movie for movie in everywhere if movie.state == "published"]
    refused = [
        each for each in world.movies.values() if each.state == "published" and "failed" in each.registered.values()
    ]
    assert account.seen == len(states)
    assert (account.held, account.deleted) == (states.count("held"), states.count("deleted"))
    assert account.failed == states.count("failed") + len(refused)
    assert (account.registered, account.rejected) == (len(shown), sum(movie.is_rejected for movie in shown))

    def alarms(**damage: object) -> tuple[str, ...]:
        return account_of(replace(facts, **damage), world.moment).alarms  # type: ignore[arg-type]

    assert alarms(claimed=facts.claimed + 1)
    assert alarms(counted=facts.counted + 1)
    assert alarms(deleted=facts.deleted + 1)
    assert alarms(in_flight=(*facts.in_flight, InFlight(AGENTS[0], world.moment)))
    if facts.published:
        assert alarms(published=facts.published - 1)
        relion, scipion = facts.registrars
        assert alarms(registrars=(replace(relion, shown=relion.shown - 1), scipion))
    later = world.moment + timedelta(seconds=61)  # both agents are killed
    if account.waiting_for["agents"]:
        assert any("has not reported since" in alarm for alarm in account_of(facts, later).alarms)
