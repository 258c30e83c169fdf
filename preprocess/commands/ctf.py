"""The command `cryoferry ctf`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preprocess.commands.ctf_choices import USUAL_RANGE, ctf_settings
from preprocess.commands.option_types import (
    ACQUISITION,
    OUTPUTS,
    AmplitudeContrast,
    Cs,
    CtffindFiles,
    DefocusRange,
    Device,
    PhaseShift,
    Threads,
    Voltage,
)


def ctf(
    ctx: typer.Context,
    micrographs: Annotated[
        list[Path],
        typer.Argument(metavar="MICROGRAPH…", help="Micrographs (MRC or TIFF files), and folders with some in them."),
    ],
    pixel_size: Annotated[
        float | None,
        typer.Option(
            metavar="Å",
            min=0.01,
            rich_help_panel=ACQUISITION,
            help="Pixel size of the micrographs. Default: the header's.",
        ),
    ] = None,
    voltage: Voltage = None,
    cs: Cs = None,
    amplitude_contrast: AmplitudeContrast = None,
    phase_shift: PhaseShift = False,
    defocus_range: DefocusRange = USUAL_RANGE,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            rich_help_panel=OUTPUTS,
            help="Write STEM_ctf.mrc (spectrum and fit), STEM_ctf.png (plot) and STEM_ctf.csv (radial profile) there."
            " Default: no file is written.",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", rich_help_panel=OUTPUTS, help="Replace files that exist already, but none of align."
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            rich_help_panel=OUTPUTS,
            help="Skip images whose results are there, whole, and made with these settings.",
        ),
    ] = False,
    star: Annotated[
        bool,
        typer.Option(
            "--star",
            rich_help_panel=OUTPUTS,
            help="Also write DIR/micrographs_ctf.star, reliable CTFs for RELION, and DIR/micrographs_ctf_all.star.",
        ),
    ] = False,
    ctffind_files: CtffindFiles = False,
    device: Device = "auto",
    threads: Threads = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line on stdout.")] = False,
) -> None:
    """Estimate defocus and astigmatism of micrographs, and the resolution to which the CTF fits.

    CTF is the contrast transfer function. Images are taken as they lie: one in each MRC file (float, 16-bit, 8-bit) or
    TIFF file. The angle of astigmatism counts from the x axis towards the y axis of the file's rows, first row first.
    Without --cs and --amplitude-contrast, 2.7 mm and 0.1 are taken. An estimate is called reliable if the rings are
    significant and no other defocus fits as well.
    """
    from preprocess.commands.ctf_optics import UsersOptics
    from preprocess.commands.ctf_run import CtfEstimationRun
    from preprocess.commands.termination import stopped_as_by_ctrl_c

    def source(name: str) -> str:
        found = ctx.get_parameter_source(name)
        return "flag" if found is not None and found.name == "COMMANDLINE" else "configuration"

    named = {
        "pixel_size_angstrom": ("pixel_size", pixel_size),
        "voltage_kv": ("voltage", voltage),
        "cs_mm": ("cs", cs),
        "amplitude_contrast": ("amplitude_contrast", amplitude_contrast),
    }
    optics = UsersOptics({name: (value, source(option)) for name, (option, value) in named.items()})
    settings = ctf_settings(
        wanted=True,
        phase_shift=phase_shift,
        group_dose=None,
        defocus_range=defocus_range,
        ctffind_files=ctffind_files,
    )
    run = CtfEstimationRun(settings, optics, out, json=json, star=star, resume=resume)
    with stopped_as_by_ctrl_c():
        exit_code = run.run(micrographs, device=device, threads=threads, overwrite=overwrite, dry_run=dry_run)
    if exit_code:
        raise typer.Exit(exit_code)
