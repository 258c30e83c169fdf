"""Estimates the CTFs of `cryoferry ctf` one after the other, and says what becomes of each micrograph."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import typer
from rich.progress import Progress

from preprocess.backends.choose import choose_backend
from preprocess.backends.contract import Backend
from preprocess.commands.align_report import console, print_object, results_console
from preprocess.commands.chosen_micrographs import (
    ChosenMicrographs,
    choose_micrographs,
    ctf_output_paths,
    refuse_lists,
    refuse_outputs,
)
from preprocess.commands.chosen_movies import counts_by_reason
from preprocess.commands.ctf_optics import UsersOptics
from preprocess.commands.ctf_report import CtfEnd, EstimatedMicrograph, ctf_line, ctf_object, ctf_remarks, ctf_table
from preprocess.commands.exit_codes import exit_code
from preprocess.commands.folder_walk import InputInFolder
from preprocess.ctf.estimation import estimate_ctf
from preprocess.ctf.optics import CtfOptics
from preprocess.ctf.spectrum import block_spectra
from preprocess.errors import OutputRefused, PreprocessError, UnreadableMovie
from preprocess.escaped_names import encodable, escaped, for_terminal
from preprocess.micrograph_file import READ_AGAIN, MicrographFile, open_micrograph
from preprocess.output_folder import refuse_unwritable
from preprocess.outputs.ctf_results import CtfMadeFrom, ctf_made_from, finished_ctf_report, write_ctf_outputs
from preprocess.outputs.ctf_star import columns_of_figures, columns_of_section
from preprocess.outputs.figures import ctf_figures
from preprocess.outputs.finished import NotFinished
from preprocess.outputs.micrographs_star import ListedMicrograph, optics_row, write_ctf_stars
from preprocess.outputs.output_names import CTF_RESULTS
from preprocess.outputs.whole_files import remove_partial_files
from preprocess.pipeline.falling_back import let_go_of_memory
from preprocess.settings import CtfSettings


class CtfEstimationRun:
    """Estimates CTFs in the order of the micrographs, going on after one that fails."""

    def __init__(
        self,
        settings: CtfSettings,
        optics: UsersOptics,
        out: Path | None,
        *,
        json: bool,
        star: bool,
        resume: bool = False,
    ) -> None:
        self._settings = settings
        self._optics = optics
        self._out = out
        self._json = json
        self._star = star
        self._resume = resume
        self._listed: dict[Path, ListedMicrograph] = {}
        self._console = console(stderr=True)

    def run(self, named: Sequence[Path], *, device: str, threads: int, overwrite: bool, dry_run: bool) -> int:
        """Estimate the CTFs of what was named, or say what would be done; return the exit code.

        Raises
        ------
        PreprocessError
            Nothing can be done, or the only micrograph failed and no JSON is wanted.
        """
        self._refuse_missing_folder()
        if overwrite and self._resume:
            raise OutputRefused("--resume and --overwrite contradict each other", hint="Give one of them.")
        self._optics.refuse_unknown()
        chosen = choose_micrographs(named, self._out)
        if self._out is not None:
            refuse_outputs(chosen.micrographs, overwrite=overwrite, resume=self._resume)
            if self._star:
                refuse_lists(chosen.micrographs, self._out)
            refuse_unwritable(self._out)
        self._say_passed_over(chosen)
        wanted = self._not_done(chosen.micrographs)
        if dry_run:
            return self._say_what_would_be_done(wanted)
        return self._estimate_all(chosen.micrographs, wanted, device, threads)

    def _refuse_missing_folder(self) -> None:
        wanted = {
            "--star": self._star,
            "--resume": self._resume,
            "--ctffind-files": self._settings.ctffind_files,
        }
        for flag, is_wanted in wanted.items():
            if is_wanted and self._out is None:
                raise OutputRefused(f"{flag} needs a folder to write to", hint="Name it with --out.")

    def _say_passed_over(self, chosen: ChosenMicrographs) -> None:
        if chosen.passed_over:
            self._say(f"passed over: {counts_by_reason(chosen.passed_over)}")

    def _not_done(self, micrographs: Sequence[InputInFolder]) -> list[InputInFolder]:
        """Return the images that are to be estimated, and say which are done; all, if this is no resumption."""
        if not self._resume:
            return list(micrographs)
        wanted = list[InputInFolder]()
        for micrograph in micrographs:
            try:
                self._listed[micrograph.path] = self._finished(micrograph)
            except NotFinished as why:
                wanted.append(micrograph)
                if str(why):
                    self._say(f"{escaped(micrograph.name)} is estimated again: {why}")
            else:
                if self._json:
                    print_object({"micrograph": escaped(str(micrograph.path)), "passed_over": "it is done"})
        if self._listed:
            self._say(f"{len(self._listed)} of {len(micrographs)} images are done already")
        return wanted

    def _finished(self, micrograph: InputInFolder) -> ListedMicrograph:
        """Return what lists say of an image that is done.

        Raises
        ------
        NotFinished
        """
        try:
            optics = self._optics.of(open_micrograph(micrograph.path)).optics
            made_from = ctf_made_from(micrograph.path, optics, self._settings)
        except (OSError, PreprocessError) as error:
            raise NotFinished from error  # estimating says why
        report = finished_ctf_report(micrograph.path, ctf_output_paths(micrograph)[CTF_RESULTS], made_from)
        files = {role: micrograph.out / file["name"] for role, file in report["files"].items()}
        return ListedMicrograph(
            _optics_row(optics), {"micrograph": micrograph.path, **files}, {}, columns_of_section(report["ctf"])
        )

    def _say_what_would_be_done(self, micrographs: Sequence[InputInFolder]) -> int:
        refused = list[int]()
        for micrograph in micrographs:
            told: dict[str, object] = {"micrograph": escaped(str(micrograph.path))}
            try:
                file = open_micrograph(micrograph.path)
                known = self._optics.of(file)
            except PreprocessError as error:
                refused.append(error.exit_code)
                message = encodable(str(error))
                told |= {"would": "refuse", "problem": message, "hint": encodable(error.hint)}
                line = f"would refuse {message}; what to do: {error.hint}"
            else:
                optics = known.optics
                size = f"{file.width} x {file.height} px, {file.number_type}"
                pixel = f"{optics.pixel_size_angstrom:.4g} Å ({known.pixel_size_source})"
                microscope = f"{optics.voltage_kv:g} kV, Cs {optics.cs_mm:g} mm, contrast {optics.amplitude_contrast:g}"
                told |= {"would": "estimate", "size": size, "pixel_size": optics.pixel_size_angstrom}
                told |= {"would_write": [escaped(str(path)) for path in self._outputs(micrograph).values()]}
                line = f"would estimate {escaped(micrograph.name)}: {size}, {pixel}, {microscope}"
            if self._json:
                print_object(told)
            else:
                typer.echo(for_terminal(line))
        count = f"{len(micrographs)} {'image' if len(micrographs) == 1 else 'images'}"
        self._say(f"{count}, {len(refused)} would be refused; nothing was done.")
        return exit_code(refused, len(micrographs))

    def _outputs(self, micrograph: InputInFolder) -> dict[str, Path]:
        """Return the outputs of a micrograph by role, for what is wanted."""
        if self._out is None:
            return {}
        texts = {"ctf_text", "ctf_average"}
        paths = ctf_output_paths(micrograph)
        return {role: path for role, path in paths.items() if self._settings.ctffind_files or role not in texts}

    def _estimate_all(
        self, named: Sequence[InputInFolder], wanted: Sequence[InputInFolder], device: str, threads: int
    ) -> int:
        """Estimate those of the named images that are wanted; the lists have those that were done before, too."""
        ends = list[CtfEnd]()
        if self._out is not None:
            for folder in {self._out, *(micrograph.out for micrograph in named)}:
                remove_partial_files(folder)
        try:
            self._estimate(wanted, ends, device, threads, is_alone=len(named) == 1)
        except (KeyboardInterrupt, OSError) as error:  # SIGTERM, a reader that closed the pipe, a full disk too
            if self._listed:
                with suppress(OSError):
                    self._write_lists(named)
            if isinstance(error, KeyboardInterrupt):
                self._say_interrupted(len(ends), len(wanted))
            raise
        self._write_lists(named)
        if not self._json and ends:
            results_console().print(ctf_table(ends))
        if self._console.is_terminal:
            for end in ends:
                self._say_remarks(end)
        return exit_code([end.result.exit_code for end in ends if isinstance(end.result, PreprocessError)], len(named))

    def _estimate(
        self, wanted: Sequence[InputInFolder], ends: list[CtfEnd], device: str, threads: int, *, is_alone: bool
    ) -> None:
        if not wanted:
            return
        for end in self._ends(wanted, choose_backend(device, threads), threads):
            ends.append(end)
            if (listed := _listed(end)) is not None:
                self._listed[end.micrograph.path] = listed
            if is_alone and isinstance(end.result, PreprocessError) and not self._json:
                raise _naming(end.micrograph.path, end.result)
            if self._json:
                print_object(ctf_object(end))
            if not self._console.is_terminal:
                if not is_alone:
                    self._say(ctf_line(end, len(ends), len(wanted)))
                self._say_remarks(end)

    def _write_lists(self, named: Sequence[InputInFolder]) -> None:
        """Write the lists of what is done, in the order in which it was named."""
        if self._star and self._out is not None:
            in_order = [self._listed[each.path] for each in named if each.path in self._listed]
            write_ctf_stars(self._out, in_order)

    def _say_interrupted(self, done: int, count: int) -> None:
        go_on = "" if self._out is None else "; with --resume it goes on from there"
        self._say(f"interrupted: {done} of {count} images are done{go_on}")

    def _ends(self, micrographs: Sequence[InputInFolder], backend: Backend, threads: int) -> Iterator[CtfEnd]:
        hidden = not self._console.is_terminal or len(micrographs) == 1
        with Progress(console=self._console, disable=hidden, transient=True, redirect_stdout=False) as bar:
            for micrograph in bar.track(micrographs, description="estimating CTFs"):
                begun_s = time.monotonic()
                try:
                    result: EstimatedMicrograph | PreprocessError = self._estimated(micrograph, backend, threads)
                except PreprocessError as error:
                    if len(micrographs) > 1:  # else it is the command's error
                        let_go_of_memory(error)  # here: it would close a generator that waits
                    result = error
                yield CtfEnd(micrograph, result, time.monotonic() - begun_s)

    def _estimated(self, micrograph: InputInFolder, backend: Backend, threads: int) -> EstimatedMicrograph:
        file = open_micrograph(micrograph.path)
        known = self._optics.of(file)
        made_from = self._made_from(file, known.optics)
        spectra = block_spectra(file.pixels(), known.optics.pixel_size_angstrom, backend)
        estimate = estimate_ctf(spectra, known.optics, self._settings, threads)
        if made_from is not None:
            micrograph.out.mkdir(parents=True, exist_ok=True)
            paths = ctf_output_paths(micrograph)
            write_ctf_outputs(micrograph.path, paths, estimate, known.optics, self._settings, made_from)
        return EstimatedMicrograph(estimate, known.optics, known.warnings, self._outputs(micrograph))

    def _made_from(self, file: MicrographFile, optics: CtfOptics) -> CtfMadeFrom | None:
        """Return what the outputs are made from, before the image is read; None without outputs.

        Raises
        ------
        UnreadableMovie
        """
        if self._out is None:
            return None
        try:
            return ctf_made_from(file.path, optics, self._settings)
        except OSError as error:
            raise UnreadableMovie(f"{file.path}: {error.strerror or error}", hint=READ_AGAIN) from error

    def _say_remarks(self, end: CtfEnd) -> None:
        for line in ctf_remarks(end):
            self._say(f"{escaped(end.micrograph.name)}: {line}")

    def _say(self, line: str) -> None:
        if self._console.is_terminal:
            self._console.print(for_terminal(line), soft_wrap=True)
        else:
            typer.echo(for_terminal(line), err=True)


def _listed(end: CtfEnd) -> ListedMicrograph | None:
    result = end.result
    if isinstance(result, PreprocessError):
        return None
    return ListedMicrograph(
        _optics_row(result.optics),
        {"micrograph": end.micrograph.path, **result.files},
        {},
        columns_of_figures(ctf_figures(result.estimate)),
    )


def _optics_row(optics: CtfOptics) -> dict[str, str]:
    others = (optics.voltage_kv, optics.cs_mm, optics.amplitude_contrast)
    return optics_row(None, optics.pixel_size_angstrom, others)


def _naming(micrograph: Path, error: PreprocessError) -> PreprocessError:
    """Return the error with the micrograph's name in its message, both fit to be printed."""
    message = str(error) if micrograph.name in str(error) else f"{micrograph}: {error}"
    error.args = (encodable(message),)
    error.hint = encodable(error.hint)
    return error
