"""Estimates the CTFs of `cryoferry ctf` one after the other, and says what becomes of each micrograph."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
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
    refuse_outputs,
)
from preprocess.commands.chosen_movies import counts_by_reason
from preprocess.commands.ctf_optics import UsersOptics
from preprocess.commands.ctf_report import CtfEnd, EstimatedMicrograph, ctf_line, ctf_object, ctf_remarks, ctf_table
from preprocess.commands.exit_codes import exit_code
from preprocess.commands.folder_walk import InputInFolder
from preprocess.ctf.estimation import estimate_ctf
from preprocess.ctf.spectrum import block_spectra
from preprocess.errors import OutputRefused, PreprocessError
from preprocess.escaped_names import encodable, escaped, for_terminal
from preprocess.micrograph_file import open_micrograph
from preprocess.output_folder import refuse_unwritable
from preprocess.outputs.ctf_files import ctf_files
from preprocess.outputs.ctf_star import columns_of_figures
from preprocess.outputs.figures import ctf_figures
from preprocess.outputs.micrographs_star import ListedMicrograph, optics_row, write_ctf_stars
from preprocess.outputs.whole_files import remove_partial_files, write_bytes
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
    ) -> None:
        self._settings = settings
        self._optics = optics
        self._out = out
        self._json = json
        self._star = star
        self._console = console(stderr=True)

    def run(self, named: Sequence[Path], *, device: str, threads: int, overwrite: bool, dry_run: bool) -> int:
        """Estimate the CTFs of what was named, or say what would be done; return the exit code.

        Raises
        ------
        PreprocessError
            Nothing can be done, or the only micrograph failed and no JSON is wanted.
        """
        self._refuse_missing_folder()
        self._optics.refuse_unknown()
        chosen = choose_micrographs(named, self._out)
        if self._out is not None:
            refuse_outputs(chosen.micrographs, overwrite=overwrite)
            refuse_unwritable(self._out)
        self._say_passed_over(chosen)
        if dry_run:
            return self._say_what_would_be_done(chosen.micrographs)
        return self._estimate_all(chosen.micrographs, choose_backend(device, threads), threads)

    def _refuse_missing_folder(self) -> None:
        wanted = {"--star": self._star, "--ctffind-files": self._settings.ctffind_files}
        for flag, is_wanted in wanted.items():
            if is_wanted and self._out is None:
                raise OutputRefused(f"{flag} needs a folder to write to", hint="Name it with --out.")

    def _say_passed_over(self, chosen: ChosenMicrographs) -> None:
        if chosen.passed_over:
            self._say(f"passed over: {counts_by_reason(chosen.passed_over)}")

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

    def _estimate_all(self, micrographs: Sequence[InputInFolder], backend: Backend, threads: int) -> int:
        ends = list[CtfEnd]()
        for end in self._ends(micrographs, backend, threads):
            ends.append(end)
            if len(micrographs) == 1 and isinstance(end.result, PreprocessError) and not self._json:
                raise _naming(end.micrograph.path, end.result)
            if self._json:
                print_object(ctf_object(end))
            if not self._console.is_terminal:
                if len(micrographs) > 1:
                    self._say(ctf_line(end, len(ends), len(micrographs)))
                self._say_remarks(end)
        if self._star and self._out is not None:
            write_ctf_stars(self._out, [listed for end in ends if (listed := _listed(end)) is not None])
        if not self._json:
            results_console().print(ctf_table(ends))
        if self._console.is_terminal:
            for end in ends:
                self._say_remarks(end)
        return exit_code([end.result.exit_code for end in ends if isinstance(end.result, PreprocessError)], len(ends))

    def _ends(self, micrographs: Sequence[InputInFolder], backend: Backend, threads: int) -> Iterator[CtfEnd]:
        hidden = not self._console.is_terminal or len(micrographs) == 1
        with Progress(console=self._console, disable=hidden, transient=True, redirect_stdout=False) as bar:
            for micrograph in bar.track(micrographs, description="estimating CTFs"):
                begun_s = time.monotonic()
                try:
                    result: EstimatedMicrograph | PreprocessError = self._estimated(micrograph, backend, threads)
                except PreprocessError as error:
                    result = error
                yield CtfEnd(micrograph, result, time.monotonic() - begun_s)

    def _estimated(self, micrograph: InputInFolder, backend: Backend, threads: int) -> EstimatedMicrograph:
        file = open_micrograph(micrograph.path)
        known = self._optics.of(file)
        spectra = block_spectra(file.pixels(), known.optics.pixel_size_angstrom, backend)
        estimate = estimate_ctf(spectra, known.optics, self._settings, threads)
        outputs = self._outputs(micrograph)
        if outputs:
            micrograph.out.mkdir(parents=True, exist_ok=True)
            remove_partial_files(micrograph.out, micrograph.path.stem)
            contents = ctf_files(estimate, known.optics, self._settings, micrograph.path.name)
            for role, content in contents.items():
                write_bytes(outputs[role], content)
        return EstimatedMicrograph(estimate, known.optics, known.warnings, outputs)

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
    optics = result.optics
    others = (optics.voltage_kv, optics.cs_mm, optics.amplitude_contrast)
    return ListedMicrograph(
        optics_row(None, optics.pixel_size_angstrom, others),
        {"micrograph": end.micrograph.path, **result.files},
        {},
        columns_of_figures(ctf_figures(result.estimate)),
    )


def _naming(micrograph: Path, error: PreprocessError) -> PreprocessError:
    """Return the error with the micrograph's name in its message, both fit to be printed."""
    message = str(error) if micrograph.name in str(error) else f"{micrograph}: {error}"
    error.args = (encodable(message),)
    error.hint = encodable(error.hint)
    return error
