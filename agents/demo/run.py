"""One run of the demo: starts the processes, follows the exposures, ends the session, prints the results."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from agents.demo import summary
from agents.demo.errors import DemoFailed, DemoFolderTaken
from agents.demo.microscope import Microscope, Shot, plan_session
from agents.demo.plan import SESSION, DemoPlan
from agents.demo.processes import Command, run
from agents.demo.summary import DemoExposure
from agents.demo.where_to_look import star_file, where_to_look
from transfer.client import ReceiverClient
from transfer.terminal.console import PlainConsole
from transfer.wire.protocol import Exposure, RegistrationState, Session

_MARKER = ".cryoferry-demo"
_START_SECONDS, _END_SECONDS = 60.0, 90.0
_SET_ASIDE_SECONDS = 15.0
_STALL_SECONDS = 150.0
"""The demo fails when no exposure has changed its state for so long."""

_LOG_COLUMNS = 100
"""Width of a table in a log file, which has no width of its own."""


class Demo:
    """One run of the demo."""

    def __init__(self, plan: DemoPlan) -> None:
        self._plan = plan
        self._console = PlainConsole(stderr=True)
        if not self._console.is_terminal:
            self._console.width = _LOG_COLUMNS
        self._exposures = {
            shot.movie: DemoExposure(shot) for shot in plan_session(plan.exposures, plan.size_px, plan.seed)
        }
        self._began = self._last_news = time.monotonic()
        self._session: Session | None = None

    def run(self) -> bool:
        """Run it; return whether every exposure was registered and its files are intact."""
        plan = self._plan
        self._prepare_folder()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        with ExitStack() as running:
            serve, url = self._start_receiver(running)
            with ReceiverClient(url, plan.token_file.read_text("utf-8").strip()) as client:
                client.open_session(SESSION)
                watch = self._start_agent(running, url)
                microscope = self._start_microscope(running)
                self._follow(client, watch, microscope)
                self._end_session(client)
            if plan.keep:
                running.pop_all()
        self._show_results(url, serve, watch)
        return all(exposure.good for exposure in self._exposures.values())

    # ---- beginning

    def _prepare_folder(self) -> None:
        out = self._plan.out
        if out.exists() and not (out / _MARKER).is_file() and (not out.is_dir() or any(out.iterdir())):
            raise DemoFolderTaken(f"{out} exists and was not made by a demo; nothing was changed")
        shutil.rmtree(out, ignore_errors=True)
        for folder in (self._plan.microscope.parent, self._plan.agent, out / "staging", out / "logs"):
            folder.mkdir(parents=True)
        (out / _MARKER).touch()

    def _start_receiver(self, running: ExitStack) -> tuple[Command, str]:
        plan = self._plan
        token = run(["token", "create", "--data", str(plan.receiver), "--scope", "agent", "--session", SESSION])
        plan.token_file.touch(mode=0o600)
        plan.token_file.write_text(token, "utf-8")
        registrars = []
        if plan.scipion_description:
            registrars = ["--scipion", str(plan.scipion)]
        else:
            why = f"is not installed in {plan.scipion}" if plan.scipion else "is not used (--no-scipion)"
            self._console.print(f"Scipion {why}. Exposures are registered in RELION's STAR file only.", style="yellow")
        serve = Command(
            ["serve", "--data", str(plan.receiver), "--port", "0", "--json", *registrars],
            logs=plan.out / "logs",
        )
        running.callback(serve.stop)
        return serve, str(serve.next_line(_START_SECONDS)["url"])

    def _start_agent(self, running: ExitStack, url: str) -> Command:
        plan = self._plan
        plan.microscope.mkdir()
        watch = Command(
            [
                *("watch", str(plan.microscope), "--work", str(plan.agent), "--json"),
                *("--to", url, "--session", SESSION, "--token-file", str(plan.token_file)),
                *("--settle-seconds", "3", "--scan-seconds", "1", "--input-wait", "3"),
            ],
            logs=plan.out / "logs",
        )
        running.callback(watch.stop)
        return watch

    def _start_microscope(self, running: ExitStack) -> Microscope:
        shots = [exposure.shot for exposure in self._exposures.values()]
        microscope = Microscope(shots, self._plan.microscope, self._plan.out / "staging", on_written=self._note_written)
        running.callback(microscope.stop)
        microscope.start()
        return microscope

    # ---- following

    def _note_written(self, shot: Shot, movie_bytes: int) -> None:
        exposure = self._exposures[shot.movie]
        exposure.movie_bytes = movie_bytes
        self._reach(exposure, "written")

    def _reach(self, exposure: DemoExposure, state: str, reason: str = "") -> None:
        if exposure.state == state:
            return
        self._last_news = time.monotonic()
        at_s = round(self._last_news - self._began, 2)
        exposure.reach(state, at_s, reason)
        if self._plan.as_json:
            line = {"movie": exposure.shot.movie, "state": state, "seconds": at_s, "reason": reason}
            print(json.dumps(line), flush=True)  # noqa: T201  # stdout is the command's contract

    def _follow(self, client: ReceiverClient, watch: Command, microscope: Microscope) -> None:
        """Follow the exposures until each is registered by every registrar, or is held or failed."""
        with self._progress() as show:
            while not all(self._is_over(exposure) for exposure in self._exposures.values()):
                for line in watch.waiting_lines():
                    if exposure := self._exposures.get(line.get("movie", "")):
                        self._reach(exposure, line["state"], line.get("reason", ""))
                for published in client.exposures(SESSION).exposures:
                    self._note_published(published)
                if microscope.failure:
                    raise DemoFailed(f"the simulated microscope could not write a movie: {microscope.failure}")
                if time.monotonic() - self._last_news > _STALL_SECONDS:
                    raise DemoFailed(f"no exposure has changed its state for {_STALL_SECONDS:.0f} s")
                show()
                time.sleep(0.25)
            show()

    def _note_published(self, published: Exposure) -> None:
        exposure = self._exposures[published.record.movie]
        if exposure.digests_verified is None:
            exposure.take_published(published, self._plan.receiver / "sessions" / SESSION / "files")
        exposure.registrations = {entry.registrar: str(entry.state) for entry in published.registrations}
        if exposure.state == "released" and set(exposure.registrations.values()) == {RegistrationState.REGISTERED}:
            self._reach(exposure, "registered")

    def _is_over(self, exposure: DemoExposure) -> bool:
        """Return whether its state is final; the agent may still retry an exposure that was just held or failed."""
        if exposure.state in {"held", "failed"}:
            return time.monotonic() - self._began - exposure.reached_at_s[exposure.state] > _SET_ASIDE_SECONDS
        return exposure.state == "registered"

    @contextmanager
    def _progress(self) -> Iterator[Any]:
        """Yield a function that updates one progress bar for each step; bars are shown on a terminal only."""
        columns = (TextColumn("{task.description:<12}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
        bars = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        steps = {"written": "written", "finished": "noticed", "aligned": "aligned", "committed": "committed"}
        steps["registered"] = "registered"
        with bars:
            tasks = {state: bars.add_task(words, total=len(self._exposures)) for state, words in steps.items()}

            def show() -> None:
                for state, task in tasks.items():
                    done = sum(state in exposure.reached_at_s for exposure in self._exposures.values())
                    bars.update(task, completed=done)

            yield show

    # ---- ending

    def _end_session(self, client: ReceiverClient) -> None:
        """End the session and wait until every registrar has closed its set."""
        self._session = client.end_session(SESSION)
        deadline = time.monotonic() + _END_SECONDS
        while not self._session.closed and time.monotonic() < deadline:
            time.sleep(0.5)
            self._session = client.session(SESSION)

    def _show_results(self, url: str, serve: Command, watch: Command) -> None:
        plan, exposures = self._plan, list(self._exposures.values())
        seconds = round(time.monotonic() - self._began, 1)
        projects = self._session.projects if self._session else {}
        description = plan.scipion_description or {}
        account = self._session.account if self._session else None
        kept = {"serve": serve.pid, "watch": watch.pid} if plan.keep else {}
        if plan.as_json:
            final = {
                "exposures": [exposure.as_json() for exposure in exposures],
                "scipion_project": projects.get("scipion"),
                "scipion_python": description.get("python"),
                "relion_star": star_file(projects),
                "receiver_url": url,
                "account": account and account.as_json(),
                "session_closed": bool(self._session and self._session.closed),
                "seconds": seconds,
                "kept_pids": kept,
            }
            print(json.dumps(final), flush=True)  # noqa: T201  # stdout is the command's contract
        results = self._console
        if not plan.as_json:  # with --json, stdout is for the objects
            results = PlainConsole(width=None if sys.stdout.isatty() else _LOG_COLUMNS)
        results.print(summary.table(exposures))
        good = sum(exposure.good for exposure in exposures)
        counted = f"{good} of {len(exposures)} exposures were registered"
        results.print(Text.assemble((counted, "bold"), f" after {seconds:.0f} s.\n"))
        if account is not None:
            results.print(f"{account.line()}\n", soft_wrap=True, highlight=False)
            for alarm in account.alarms:
                results.print(Text(alarm, "bold red"), soft_wrap=True)
        for line in where_to_look(plan, url, projects, kept):
            results.print(line, soft_wrap=True)
