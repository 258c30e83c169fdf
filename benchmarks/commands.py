"""`cryoferry bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

bench = typer.Typer(no_args_is_help=True, add_completion=False, help="Measure against other programs.")


@bench.callback()
def _bench() -> None:
    """Measure cryoferry against other programs on this machine, side by side in one run."""


@bench.command("align")
def align(
    presets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PRESET…",
            help="small, faint, fainter, doming, rough, k3, k3-super, falcon-eer; or NAME@HEIGHTxWIDTHxFRAMES.",
        ),
    ] = None,
    movies: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A movie of your own instead, without truth; may be repeated."),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="0-4", help="Movies of each preset.")] = "0",
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each program on each movie.")] = 1,
    programs: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="cryoferry, cryoferry-1x1, relion, motioncor3; by default all that are there."
        ),
    ] = "",
    threads: Annotated[int, typer.Option(min=1, help="Threads of each program.")] = 2,
    device: Annotated[
        str,
        typer.Option(metavar="cpu|cuda:N", help="With cuda:N also cryoferry on that device, stage by stage."),
    ] = "cpu",
    sustained: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="Also align N movies in a row in one process; 200 with a CUDA device, else none."
        ),
    ] = None,
    first_movie: Annotated[
        bool,
        typer.Option(
            "--first-movie/--no-first-movie",
            help="Measure an installation's first movie, which compiles; without, what is compiled is used.",
        ),
    ] = True,
    scaling: Annotated[bool, typer.Option("--scaling", help="Also measure cost against pixels and frames.")] = False,
    cache: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder that keeps simulated movies for the next time.")
    ] = Path("cryoferry-bench/movies"),
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for align.json and the pictures.")] = Path(
        "cryoferry-bench"
    ),
    keep: Annotated[bool, typer.Option("--keep", help="Keep what the programs wrote, in DIR/work.")] = False,
    pixel_size: Annotated[float | None, typer.Option(metavar="Å", help="Of --movies.")] = None,
    voltage: Annotated[float | None, typer.Option(metavar="kV", help="Of --movies.")] = None,
    dose_per_frame: Annotated[float | None, typer.Option(metavar="e/Å²", help="Of --movies.")] = None,
    gain: Annotated[Path | None, typer.Option(metavar="FILE", help="Gain reference of --movies.")] = None,
    eer_frames: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="EER: hardware frames in one frame.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be measured, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object on stdout.")] = False,
) -> None:
    """Align the same movies with cryoferry and other programs; compare time, memory and error.

    Simulated movies have exact truth: the motion's error and the correlation with the noise-free image are measured.
    Their first making takes minutes for large ones. docs/benchmarks.md tells how to read the results.
    """
    from benchmarks.alignment.command import AlignPlan, run_align_benchmark
    from preprocess.exposure.acquisition import Acquisition

    plan = AlignPlan(
        presets=tuple(presets or ()),
        movies=tuple(movies or ()),
        seeds=seeds,
        programs=tuple(name.strip() for name in programs.split(",") if name.strip()),
        threads=threads,
        repeats=repeat,
        first_movie=first_movie,
        scaling=scaling,
        cache=cache,
        out=out,
        keep=keep,
        gain=gain,
        eer_frames=eer_frames,
        acquisition=Acquisition(
            pixel_size_angstrom=pixel_size, voltage_kv=voltage, dose_per_frame_e_per_a2=dose_per_frame
        ),
        device=device,
        sustained=sustained,
    )
    exit_code = run_align_benchmark(plan, dry_run=dry_run, json=json)
    if exit_code:
        raise typer.Exit(exit_code)


@bench.command("transfer")
def transfer(
    to: Annotated[
        str | None, typer.Option(metavar="URL", help="Your receiver; without it both ends are this machine.")
    ] = None,
    ssh: Annotated[
        str | None, typer.Option(metavar="HOST", help="The receiver's machine, as ssh reaches it: for the other paths.")
    ] = None,
    open_servers: Annotated[
        bool,
        typer.Option(
            "--open-servers",
            help="On HOST, start servers for rsync, GridFTP and others that take files from anybody while it runs.",
        ),
    ] = False,
    emulate: Annotated[
        str | None,
        typer.Option(metavar="LINK", help="A link of its own on this machine: 1gbit:100ms:0.1%. Linux, root."),
    ] = None,
    files: Annotated[
        list[str] | None, typer.Option(metavar="NxSIZE", help="20x90MB, 2000x1MB, 1x8GB; may be repeated.")
    ] = None,
    paths: Annotated[
        str,
        typer.Option(
            metavar="A,B",
            help="cryoferry, proxy, bbcp, gridftp, rsync, scp, rclone, xrdcp, nginx, iperf3, cp. Default: all.",
        ),
    ] = "",
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each path.")] = 3,
    cap: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Stop a run after so long; what had arrived counts.")
    ] = 60.0,
    session: Annotated[
        str, typer.Option(metavar="NAME", help="Session on the receiver for the files of --to.")
    ] = "bench-transfer",
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File that holds the token; otherwise CRYOFERRY_TOKEN.")
    ] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="PEM file of the receiver's authority.")] = None,
    first_port: Annotated[
        int, typer.Option(min=1024, max=65000, help="Of about 15 that --open-servers uses on HOST.")
    ] = 18700,
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the files; by default in memory, /dev/shm.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for transfer.json and transfer.png.")] = Path(
        "cryoferry-bench"
    ),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be measured, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object on stdout.")] = False,
) -> None:
    """Carry the same files by every path that is installed; say which one this link should use.

    Every path's files are compared by digest after each run. docs/benchmarks.md tells how to read the results.
    """
    from benchmarks.errors import NothingToMeasure
    from benchmarks.transfer.command import TransferPlan, run_transfer_benchmark

    if emulate is not None and to is not None:
        raise NothingToMeasure("--emulate and --to exclude one another", hint="Leave one of them out.")
    if (ssh is not None or open_servers) and to is None:
        raise NothingToMeasure("--ssh and --open-servers belong to --to", hint="Name the receiver with --to URL.")
    options = [*(("--token-file", str(token_file.resolve())) if token_file is not None else ())]
    options += ["--ca", str(ca.resolve())] if ca is not None else []
    plan = TransferPlan(
        files=tuple(files or (("20x90MB",) if to is None else ("10x90MB",))),
        paths=tuple(name.strip() for name in paths.split(",") if name.strip()),
        to=to,
        receiver_options=tuple(options),
        session=session,
        ssh=ssh,
        open_servers=open_servers,
        first_port=first_port,
        emulate=emulate,
        repeats=repeat,
        cap_s=cap,
        work=work,
        out=out,
    )
    exit_code = run_transfer_benchmark(plan, dry_run=dry_run, json=json)
    if exit_code:
        raise typer.Exit(exit_code)
