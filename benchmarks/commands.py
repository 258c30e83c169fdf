"""`cryoferry bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

bench = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Measure cryoferry against other programs on this machine."
)


@bench.callback()
def _bench() -> None:
    """Measure cryoferry against other programs on this machine."""


@bench.command("align")
def align(
    presets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PRESET…",
            help="small, faint, fainter, doming, rough, k3, k3-super, falcon-eer, falcon-mrc; "
            "or NAME@HEIGHTxWIDTHxFRAMES.",
        ),
    ] = None,
    movies: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Use a movie of your own; its true motion is unknown. Repeat for more."),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="N|N-M", help="Seeds of the movies of each preset, such as 0-4.")] = "0",
    repeat: Annotated[int, typer.Option(min=1, metavar="N", help="Number of runs of each program on each movie.")] = 1,
    programs: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="cryoferry, cryoferry-1x1, relion, motioncor3; by default all that are there."
        ),
    ] = "",
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Number of threads of each program.")] = 2,
    device: Annotated[
        str,
        typer.Option(metavar="cpu|cuda:N", help="cuda:N: also measure cryoferry on that GPU, each stage on its own."),
    ] = "cpu",
    sustained: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="Also align N movies in a row in one process. Default: 200 on a GPU, else 0."
        ),
    ] = None,
    first_movie: Annotated[
        bool,
        typer.Option(
            "--first-movie/--no-first-movie",
            help="Also measure the first movie after an installation, which compiles the kernels.",
        ),
    ] = True,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Also measure how time grows with pixels and frames.")
    ] = False,
    cache: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder that keeps the simulated movies for the next run.")
    ] = Path("cryoferry-bench/movies"),
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for align.json and the plots.")] = Path(
        "cryoferry-bench"
    ),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the outputs of the programs, in DIR/work.")] = False,
    pixel_size: Annotated[float | None, typer.Option(metavar="Å", help="Pixel size of --movies.")] = None,
    voltage: Annotated[float | None, typer.Option(metavar="kV", help="Voltage of --movies.")] = None,
    dose_per_frame: Annotated[float | None, typer.Option(metavar="e/Å²", help="Dose per frame of --movies.")] = None,
    gain: Annotated[Path | None, typer.Option(metavar="FILE", help="Gain reference of --movies.")] = None,
    eer_frames: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="EER: add up N hardware frames to one frame.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be measured, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object on stdout.")] = False,
) -> None:
    """Align the same movies with cryoferry and other programs; compare time, memory and error.

    The motion of simulated movies is known exactly, so the error of each program is measured. The first run makes the
    movies, which takes minutes for large ones. docs/benchmarks.md explains the results.
    """
    from benchmarks.alignment.command import AlignPlan, run_align_benchmark
    from preprocess.exposure.acquisition import Acquisition
    from preprocess.output_folder import refuse_unwritable

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
    refuse_unwritable(out)
    exit_code = run_align_benchmark(plan, dry_run=dry_run, json=json)
    if exit_code:
        raise typer.Exit(exit_code)


@bench.command("faults")
def faults(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORD…", help="Try only faults with one of these words in their name.")
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="N|N-M", help="Seeds of the movies of each fault, such as 0-4.")] = "0",
    relion: Annotated[bool, typer.Option("--relion/--no-relion", help="Run RELION on the same movies.")] = True,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for faults.json.")] = Path("cryoferry-bench"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the faults, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object on stdout.")] = False,
) -> None:
    """Align small movies that have faults; compare the shifts that cryoferry and RELION find with the truth.

    Faults are those of cameras, files and people: empty frames, hot pixels, signed bytes, a missing gain reference, the
    edge of the beam. docs/benchmarks.md explains the results.
    """
    from benchmarks.alignment.presets import parse_seeds
    from benchmarks.faults.command import FaultsPlan, run_faults_benchmark
    from preprocess.output_folder import refuse_unwritable

    plan = FaultsPlan(words=tuple(words or ()), seeds=tuple(parse_seeds(seeds)), relion=relion, out=out)
    refuse_unwritable(out)
    run_faults_benchmark(plan, dry_run=dry_run, json=json)


@bench.command("ctf")
def ctf(
    sets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SET…",
            help="mixed, clean, tilt, faint, phase, high, low, thick, ugly, null; or SET@SIDE. Default: all.",
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, metavar="N", help="Micrographs of each set: seeds 0 to N - 1.")] = 10,
    seeds: Annotated[
        str | None, typer.Option(metavar="N|N-M", help="Seeds of the micrographs instead, such as 100-139.")
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Use an MRC image of your own; its truth is unknown. Repeat for more."),
    ] = None,
    pixel_size: Annotated[float | None, typer.Option(metavar="Å", min=0.1, help="Pixel size of --images.")] = None,
    voltage: Annotated[float | None, typer.Option(metavar="kV", min=60, help="Voltage of --images.")] = None,
    cs: Annotated[float, typer.Option(metavar="mm", min=0, help="Spherical aberration of --images.")] = 2.7,
    amplitude_contrast: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=0.9, help="Amplitude contrast of --images.")
    ] = 0.1,
    phase_shift: Annotated[bool, typer.Option("--phase-shift", help="Seek a phase shift in --images.")] = False,
    programs: Annotated[
        str, typer.Option(metavar="A,B", help="cryoferry, ctffind; by default all that are there.")
    ] = "",
    threads: Annotated[
        str, typer.Option(metavar="N,N", help="Threads of each program; the first is used for errors.")
    ] = "1,2",
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the simulated micrographs there for the next run. They are large."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for ctf.json and the plots.")] = Path(
        "cryoferry-bench"
    ),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be measured, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object on stdout.")] = False,
) -> None:
    """Estimate the CTF of the same micrographs with cryoferry and CTFFIND; compare time and error.

    The defocus of simulated micrographs is known exactly. Of your own images, halves and thirds are compared with the
    whole. docs/benchmarks.md explains the results.
    """
    from benchmarks.alignment.presets import parse_seeds
    from benchmarks.ctf.answers import CtfQuestion
    from benchmarks.ctf.command import CtfPlan, run_ctf_benchmark
    from benchmarks.errors import NothingToMeasure
    from preprocess.output_folder import refuse_unwritable

    question = None
    if images:
        if pixel_size is None or voltage is None:
            raise NothingToMeasure("--images need --pixel-size and --voltage", hint="Give both.")
        question = CtfQuestion(
            pixel_size_angstrom=pixel_size,
            voltage_kv=voltage,
            cs_mm=cs,
            amplitude_contrast=amplitude_contrast,
            find_phase_shift=phase_shift,
        )
    thread_counts = [part.strip() for part in threads.split(",")]
    if not all(part.isdigit() and int(part) for part in thread_counts):
        raise NothingToMeasure(f"--threads {threads} are not numbers", hint="Write them as 1,2.")
    plan = CtfPlan(
        sets=tuple(sets or ()),
        seeds=tuple(range(count)) if seeds is None else tuple(parse_seeds(seeds)),
        images=tuple(images or ()),
        question=question,
        programs=tuple(name.strip() for name in programs.split(",") if name.strip()),
        threads=tuple(dict.fromkeys(int(part) for part in thread_counts)),
        cache=cache,
        out=out,
    )
    refuse_unwritable(out)
    run_ctf_benchmark(plan, dry_run=dry_run, json=json)


@bench.command("transfer")
def transfer(
    to: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Send to this receiver. Default: one on this machine, started for the measurement."
        ),
    ] = None,
    ssh: Annotated[
        str | None,
        typer.Option(metavar="HOST", help="The receiver's machine as ssh names it: the other programs need it."),
    ] = None,
    open_servers: Annotated[
        bool,
        typer.Option(
            "--open-servers",
            help="Start servers for rsync, GridFTP and others on HOST. Anybody can write to them meanwhile.",
        ),
    ] = False,
    emulate: Annotated[
        str | None,
        typer.Option(
            metavar="LINK", help="Emulate a link on this machine, such as 1gbit:100ms:0.1%. Needs Linux and root."
        ),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(metavar="NxSIZE", help="Files to send, such as 20x90MB or 1x8GB. Repeat for more."),
    ] = None,
    paths: Annotated[
        str,
        typer.Option(
            metavar="A,B",
            help="cryoferry, proxy, bbcp, gridftp, rsync, scp, rclone, xrdcp, nginx, iperf3, cp. Default: all.",
        ),
    ] = "",
    repeat: Annotated[int, typer.Option(min=1, metavar="N", help="Number of runs of each program.")] = 3,
    cap: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="Stop a run after this time; what has arrived by then counts."),
    ] = 60.0,
    session: Annotated[
        str, typer.Option(metavar="NAME", help="Session on the receiver that gets the files.")
    ] = "bench-transfer",
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File that holds the token. Default: the variable CRYOFERRY_TOKEN."),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificate (PEM) of the authority that signed the receiver's certificate."),
    ] = None,
    first_port: Annotated[
        int,
        typer.Option(
            min=1024, max=65000, metavar="PORT", help="First of about 15 ports on HOST that --open-servers uses."
        ),
    ] = 18700,
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the files. Default: in memory, /dev/shm.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for transfer.json and transfer.png.")] = Path(
        "cryoferry-bench"
    ),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be measured, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object on stdout.")] = False,
) -> None:
    """Send the same files with every program that is installed; say which one suits this link.

    After each run the files are compared by digest. docs/benchmarks.md explains the results.
    """
    from benchmarks.errors import NothingToMeasure
    from benchmarks.transfer.command import TransferPlan, run_transfer_benchmark
    from preprocess.output_folder import refuse_unwritable

    if emulate is not None and to is not None:
        raise NothingToMeasure("--emulate and --to cannot be used together", hint="Leave one of them out.")
    if (ssh is not None or open_servers) and to is None:
        raise NothingToMeasure("--ssh and --open-servers need --to", hint="Name the receiver with --to URL.")
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
    refuse_unwritable(out)
    exit_code = run_transfer_benchmark(plan, dry_run=dry_run, json=json)
    if exit_code:
        raise typer.Exit(exit_code)


@bench.command("flow")
def flow(
    sizes: Annotated[
        str, typer.Option(metavar="N,N", help="Exposures in the session when the next ones are measured.")
    ] = "1000,10000,50000",
    exposures: Annotated[int, typer.Option(min=1, metavar="N", help="Exposures to measure at each size.")] = 300,
    pause: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Time between two movies of these.")] = 1.0,
    per_hour: Annotated[float, typer.Option(min=1, metavar="N", help="Movies an hour of the run at the end.")] = 815.0,
    minutes: Annotated[
        float, typer.Option(min=0, metavar="MINUTES", help="Length of the run at the end. 0: none.")
    ] = 30.0,
    registrars: Annotated[str, typer.Option(metavar="A,B", help="relion, scipion or both.")] = "relion,scipion",
    scipion: Annotated[
        Path, typer.Option(metavar="DIR", help="Scipion environment, as `make scipion` makes it.")
    ] = Path(".scipion"),
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="An empty PostgreSQL database to use. Default: SQLite."),
    ] = None,
    settle_seconds: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="A movie is finished when it has not changed for so long.")
    ] = 30.0,
    scan_seconds: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Pause between two looks at the microscope's folder.")
    ] = 5.0,
    block: Annotated[
        int, typer.Option(min=1, metavar="N", help="Exposures in a block. The first block is not counted.")
    ] = 20,
    idle_seconds: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How long to measure with nothing to do.")
    ] = 30.0,
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the session's files. Default: that of --out.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for flow.json and flow.png.")] = Path(
        "cryoferry-bench"
    ),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the session's files and the logs.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be measured, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object on stdout.")] = False,
) -> None:
    """Fill a session, then measure what an exposure costs agent, receiver and Scipion as the session grows.

    The session is filled through cryoferry's own functions. Then small movies go through `cryoferry watch` and
    `cryoferry serve`. The full run takes more than an hour. docs/benchmarks.md explains the results.
    """
    from benchmarks.errors import NothingToMeasure
    from benchmarks.flow.command import FlowPlan, run_flow_benchmark
    from preprocess.output_folder import refuse_unwritable

    if not all(part.strip().isdigit() for part in sizes.split(",")):
        raise NothingToMeasure(f"--sizes {sizes} are not numbers", hint="Write them as 1000,10000,50000.")
    plan = FlowPlan(
        sizes=tuple(int(part) for part in sizes.split(",")),
        exposures=exposures,
        pause_s=pause,
        per_hour=per_hour,
        minutes=minutes,
        settle_s=settle_seconds,
        scan_s=scan_seconds,
        registrars=tuple(name.strip() for name in registrars.split(",") if name.strip()),
        scipion=scipion,
        database=database,
        work=work,
        out=out,
        keep=keep,
        block=block,
        idle_s=idle_seconds,
    )
    refuse_unwritable(out)
    exit_code = run_flow_benchmark(plan, dry_run=dry_run, json=json)
    if exit_code:
        raise typer.Exit(exit_code)
