"""Aligns the movies of `cryoferry align` one after the other, and says what becomes of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import typer

from preprocess.commands.align_report import (
    Aligned,
    as_object,
    console,
    line_of,
    print_object,
    remarks,
    results_console,
    table,
)
from preprocess.commands.chosen_movies import MovieToAlign, counts_by_reason
from preprocess.commands.exit_codes import exit_code
from preprocess.commands.movie_bars import MovieBars
from preprocess.commands.plan_report import PlanPrinter, plan_object, plan_rows
from preprocess.errors import PreprocessError, UnreadableMovie
from preprocess.escaped_names import encodable, escaped, for_terminal
from preprocess.exposure.acquisition import assumed_optics
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.gains.finding import ReferenceFinder
from preprocess.gains.found_settings import settings_of_movie
from preprocess.gains.session_folder import session_folder
from preprocess.layouts import LAYOUTS
from preprocess.layouts.layout import NO_MOVIES_EXTENSION
from preprocess.made_from import made_from
from preprocess.movie_plan import MoviePlanner
from preprocess.outputs.finished import NotFinished, finished_report
from preprocess.outputs.micrographs_star import (
    FILE_NAME,
    ListedMicrograph,
    write_ctf_stars,
    write_micrographs_star,
)
from preprocess.outputs.output_names import output_paths
from preprocess.outputs.whole_files import remove_partial_files
from preprocess.pipeline.falling_back import let_go_of_memory
from preprocess.pipeline.gain_orientations import GainOrientations
from preprocess.pipeline.movie_stages import MovieStages
from preprocess.pipeline.overlapping import pays_on, process_movies
from preprocess.pipeline.process_movie import process_movie
from preprocess.results import CTF_RELIABLE, ProcessedMovie


class AlignmentRun:
    """Aligns movies in their order, going on after a failed one."""

    def __init__(
        self, alignment: ChosenAlignment, out: Path, *, json: bool, star: bool = False, resume: bool = False
    ) -> None:
        self._alignment = alignment
        self._out = out
        self._json = json
        self._star = star
        self._resume = resume
        self._console = console(stderr=True)
        self._listed: dict[Path, ListedMicrograph] = {}
        self._finder = ReferenceFinder(LAYOUTS["auto"].programs, session_folder)
        self._said_gain: tuple[str, str] | None = None
        self._said_optics = ""

    def say_passed_over(self, passed_over: dict[Path, str]) -> None:
        """Say what in the folders is not taken for a movie."""
        if self._json:
            for path, why in passed_over.items():
                if why != NO_MOVIES_EXTENSION:
                    print_object({"movie": escaped(str(path)), "passed_over": encodable(why)})
        if passed_over:
            self._say(f"passed over: {counts_by_reason(passed_over)}")

    def say_what_would_be_done(self, movies: Sequence[MovieToAlign]) -> int:
        """Print what each movie would become; return the exit code that aligning would have, as far as headers tell."""
        planner, printer, refused = MoviePlanner(), PlanPrinter(), list[int]()
        wanted = self._not_done(movies)
        for movie in wanted:
            plan = planner.plan(movie.path, self._chosen_for(movie))
            refused += [problem.exit_code for problem in plan.problems[:1]]
            would = "refuse" if plan.problems else "align"
            outputs = [escaped(str(path)) for path in self._outputs(movie)]
            if self._json:
                told = {"movie": escaped(str(movie.path)), "would": would, **plan_object(plan), "would_write": outputs}
                print_object(told)
            else:
                micrograph = [] if plan.problems else [("micrograph", outputs[0])]
                printer.print(f"would {would}: {escaped(movie.name)}", movie.name, [*plan_rows(plan), *micrograph])
        aligned = f"{len(wanted) - len(refused)} would be aligned"
        ends = f"{aligned}, {len(refused)} would be refused" if refused else aligned
        self._say(f"{len(wanted)} {'movie' if len(wanted) == 1 else 'movies'}: {ends}; nothing was done.")
        return exit_code(refused, len(movies))

    def _chosen_for(self, movie: MovieToAlign) -> ChosenAlignment:
        """Return the choices with what is found for a movie, as far as that can be found out."""
        try:
            settings = settings_of_movie(self._alignment.settings, movie.path, self._finder)
        except UnreadableMovie:
            return self._alignment  # the plan says what is wrong with it
        return replace(self._alignment, settings=settings)

    def _outputs(self, movie: MovieToAlign) -> list[Path]:
        settings = self._alignment.settings
        wanted = {
            "micrograph_unweighted": settings.unweighted,
            "micrograph_even": settings.even_odd,
            "micrograph_odd": settings.even_odd,
            "power_spectrum": settings.power_spectrum,
            "motion_log": settings.motioncor_logs,
            "patch_motion_log": settings.motioncor_logs,
            "ctf_spectrum": settings.ctf.wanted,
            "ctf_plot": settings.ctf.wanted,
            "ctf_profile": settings.ctf.wanted,
            "ctf_text": settings.ctf.wanted and settings.ctf.ctffind_files,
            "ctf_average": settings.ctf.wanted and settings.ctf.ctffind_files,
        }
        return [path for role, path in output_paths(movie.path, movie.out).items() if wanted.get(role, True)]

    def align_all(self, movies: Sequence[MovieToAlign]) -> int:
        """Align all; return the exit code.

        Raises
        ------
        PreprocessError
            The only movie failed.
        """
        wanted, done = self._not_done(movies), list[Aligned]()
        for folder in {self._out, *(movie.out for movie in movies)}:
            remove_partial_files(folder)
        try:
            self._align(wanted, done, is_alone=len(movies) == 1)
        except (KeyboardInterrupt, OSError) as error:  # SIGTERM, a reader that closed the pipe, a full disk too
            with suppress(OSError):
                self._write_lists(movies, done)
            if isinstance(error, KeyboardInterrupt):
                count = f"{len(done)} of {len(wanted)} movies are done"
                self._say(f"interrupted: {count}; with --resume it goes on from there")
            raise
        self._write_lists(movies, done)
        failed = [item for item in done if isinstance(item.result, PreprocessError)]
        if failed and len(movies) == 1 and isinstance(failed[0].result, PreprocessError):
            raise _naming(failed[0].movie.path, failed[0].result)
        if not self._json and done:
            results_console().print(table(done))
        if self._console.is_terminal:
            for item in done:
                self._say_remarks(item)
        codes = [item.result.exit_code for item in failed if isinstance(item.result, PreprocessError)]
        return exit_code(codes, len(movies))

    def _align(self, movies: Sequence[MovieToAlign], done: list[Aligned], *, is_alone: bool) -> None:
        by_path = {movie.path: movie for movie in movies}
        with MovieBars(self._console, {movie.path: movie.name for movie in movies}) as bars:
            for item in self._aligned(by_path, bars):
                done.append(item)
                bars.remove(item.movie.path)
                if isinstance(item.result, PreprocessError):
                    if is_alone:
                        return  # it is the command's error
                    let_go_of_memory(item.result)  # it is kept until the end
                if self._json:
                    with bars.aside():
                        print_object(as_object(item))
                if not self._console.is_terminal:
                    self._say(line_of(item, len(done), len(movies)))
                    self._say_remarks(item)

    def _not_done(self, movies: Sequence[MovieToAlign]) -> list[MovieToAlign]:
        """Return the movies that are to be aligned, and say which are done; all of them, if this is no resumption."""
        if not self._resume:
            return list(movies)
        wanted = list[MovieToAlign]()
        for movie in movies:
            try:
                report = self._finished(movie)
            except NotFinished as why:
                wanted.append(movie)
                if str(why):
                    self._say(f"{escaped(movie.name)} is aligned again: {for_terminal(str(why))}")
            else:
                self._listed[movie.path] = ListedMicrograph.of_report(report, movie.out)
                if self._json:
                    print_object({"movie": escaped(str(movie.path)), "passed_over": "it is done"})
        if self._listed:
            self._say(f"{len(self._listed)} of {len(movies)} movies are done already")
        return wanted

    def _finished(self, movie: MovieToAlign) -> dict[str, object]:
        chosen = self._alignment
        try:
            settings = self._chosen_for(movie).settings
            wanted = made_from(movie.path, settings, chosen.flags, chosen.configured)
            return finished_report(movie.path, movie.out, wanted)
        except OSError as error:
            raise NotFinished from error  # aligning it says why

    def _aligned(self, movies: dict[Path, MovieToAlign], bars: MovieBars) -> Iterator[Aligned]:
        """Yield what becomes of each movie, in order; their stages overlap where that pays."""
        chosen = self._alignment
        if len(movies) > 1 and chosen.settings.device != "cpu":
            stages = MovieStages.chosen(
                self._out,
                chosen.settings,
                chosen.flags,
                chosen.configured,
                self._orientations(movies),
                self._finder,
            )
            if pays_on(stages.backend):
                folders = {path: movie.out for path, movie in movies.items()}
                stages = stages.with_folders(folders)
                with closing(process_movies(list(movies), stages, bars.advance)) as ends:
                    for movie, end in zip(movies.values(), ends, strict=True):
                        yield _what_became(movie, end.result)
                return
        orientations = self._orientations(movies)
        for movie in movies.values():
            yield _what_became(movie, partial(self._align_alone, movie, bars, orientations))

    def _orientations(self, movies: dict[Path, MovieToAlign]) -> GainOrientations:
        return GainOrientations(list(movies), lambda path: self._chosen_for(movies[path]).settings.gain)

    def _align_alone(self, movie: MovieToAlign, bars: MovieBars, orientations: GainOrientations) -> ProcessedMovie:
        return process_movie(
            movie.path,
            movie.out,
            settings=self._alignment.settings,
            acquisition=self._alignment.flags,
            configured=self._alignment.configured,
            progress=partial(bars.advance, movie.path),
            orientations=orientations,
            finder=self._finder,
        )

    def _write_lists(self, movies: Sequence[MovieToAlign], done: Sequence[Aligned]) -> None:
        """List all movies that are done, those of before among them, in the order in which they were named."""
        now = {
            item.movie.path: ListedMicrograph.of_result(item.result)
            for item in done
            if isinstance(item.result, ProcessedMovie)
        }
        listed = self._listed | now
        if not self._star or not listed:
            return
        in_order = [listed[movie.path] for movie in movies if movie.path in listed]
        write_micrographs_star(self._out / FILE_NAME, in_order)
        write_ctf_stars(self._out, in_order)

    def _say_remarks(self, item: Aligned) -> None:
        gain = None if isinstance(item.result, PreprocessError) else item.result.gain
        if gain is not None and gain.found_by and (gain.file, gain.found_by) != self._said_gain:
            self._said_gain = gain.file, gain.found_by
            self._say(f"{escaped(item.movie.name)}: the gain reference is {gain.file}: {gain.found_by}")
        if not isinstance(item.result, PreprocessError) and CTF_RELIABLE in item.result.figures:
            assumed = assumed_optics(item.result.acquisition)
            if assumed and assumed != self._said_optics:
                self._say(f"{escaped(item.movie.name)}: {assumed}")
            self._said_optics = assumed or self._said_optics
        for line in remarks(item):
            self._say(f"{escaped(item.movie.name)}: {line}")

    def _say(self, line: str) -> None:
        if self._console.is_terminal:
            self._console.print(for_terminal(line), soft_wrap=True)
        else:  # an interrupt must not make a line come twice
            typer.echo(for_terminal(line), err=True)


def _naming(movie: Path, error: PreprocessError) -> PreprocessError:
    """Return the error with the movie's name in its message."""
    if movie.name not in str(error):
        error.args = (f"{movie}: {error}",)
    return error


def _what_became(movie: MovieToAlign, align: Callable[[], ProcessedMovie]) -> Aligned:
    begun_s = time.monotonic()
    try:
        result: ProcessedMovie | PreprocessError = align()
    except PreprocessError as error:
        result = error
    if isinstance(result, ProcessedMovie):
        return Aligned(movie, result, sum(result.seconds.values()))
    return Aligned(movie, result, time.monotonic() - begun_s)
