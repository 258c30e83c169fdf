"""`cryoferry serve`: runs the receiver."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from api import defaults
from api.commands.options import Data, DatabaseUrl, DryRun, Json, duration, networks, print_result, thresholds

SHOWN_IN_LIST = (
    "the database's password is in the command line, which every user of this machine can see in the list of processes:"
    " put the URL into the environment variable CRYOFERRY_SERVE__DATABASE or the configuration file instead"
)


def serve(
    ctx: typer.Context,
    data: Data,
    host: Annotated[str, typer.Option(help="Address to listen on. Any but loopback needs TLS.")] = defaults.HOST,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on. 0: any free port.")] = defaults.PORT,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Number of processes.")] = defaults.WORKERS,
    database: DatabaseUrl = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate for https (PEM, with its chain).")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Private key of the certificate (PEM).")] = None,
    behind_proxy: Annotated[bool, typer.Option(help="A proxy in front does TLS; listen without it.")] = False,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address or network of a proxy in front, several times for several. "
            "Default: any on loopback and private networks.",
        ),
    ] = None,
    max_connections: Annotated[
        int | None,
        typer.Option(
            min=16, metavar="NUMBER", help="Connections that each process keeps open. Default: a third of its files."
        ),
    ] = None,
    requests_without_token: Annotated[
        float,
        typer.Option(
            min=0.1, metavar="PER_SECOND", help="Requests without a valid token that one address may make in a second."
        ),
    ] = defaults.REQUESTS_WITHOUT_TOKEN_PER_S,
    max_open_uploads: Annotated[
        int,
        typer.Option(
            min=1, metavar="NUMBER", help="Uploads in parts that one token may have while bytes of them still come."
        ),
    ] = defaults.MAX_OPEN_UPLOADS,
    scipion: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|COMMAND",
            help="Register exposures in a Scipion project: Scipion's environment, or the command line of its launcher, "
            "such as 'apptainer exec --containall --bind DATA scipion.sif scipion3'.",
        ),
    ] = None,
    projects: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for Scipion projects. Default: a folder in --data.")
    ] = None,
    scipion_workflow: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Workflow that Scipion exported (JSON), to run behind each session's micrographs."
        ),
    ] = None,
    followers: Annotated[
        defaults.FollowersAtEnd,
        typer.Option(help="Whether Scipion's followers end with the receiver, or stay for the next one."),
    ] = defaults.FOLLOWERS,
    follower_idle: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="End a session's follower after this time without new data; the next data start it again. 0m: never.",
        ),
    ] = f"{defaults.FOLLOWER_IDLE_MIN}m",
    max_followers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="NUMBER",
            help="Followers at the same time, of 145 MB each. Default: what fits into a quarter of the memory.",
        ),
    ] = None,
    relion: Annotated[bool, typer.Option(help="Write a RELION STAR file for each session.")] = defaults.RELION,
    mtf: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="MTF of the camera (STAR), for the optics groups of RELION's lists."),
    ] = None,
    float16: Annotated[
        bool,
        typer.Option(
            "--float16", help="Register float16 micrographs as they are, without float32 copies (MRC mode 12)."
        ),
    ] = defaults.FLOAT16,
    reject: Annotated[
        list[str] | None,
        typer.Option(
            metavar="THRESHOLD",
            help="Threshold that new sessions begin with: reject exposures whose figure is above (>) or below (<) a "
            "value, such as 'ctf_resolution_angstrom > 8'. Repeat for more.",
        ),
    ] = None,
    reserve_bytes: Annotated[
        int, typer.Option(min=0, metavar="BYTES", help="Free space on the disk that uploads leave unused.")
    ] = defaults.RESERVE_BYTES,
    max_file_bytes: Annotated[
        int, typer.Option(min=1, metavar="BYTES", help="Largest file that is accepted.")
    ] = defaults.MAX_FILE_BYTES,
    upload_expiry: Annotated[
        str, typer.Option(metavar="TIME", help="Delete an unfinished upload that got no bytes for this time: 12h, 7d.")
    ] = f"{defaults.UPLOAD_EXPIRY_DAYS}d",
    body_timeout: Annotated[
        float,
        typer.Option(
            min=0.1, metavar="SECONDS", help="Disconnect a client that sends nothing of its request for this time."
        ),
    ] = defaults.BODY_TIMEOUT_S,
    data_plane: Annotated[
        defaults.DataPlane,
        typer.Option(help="How the bytes of files are read: socket (faster; not with TLS) or stream (through ASGI)."),
    ] = defaults.DATA_PLANE,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Receive files, store them durably, and register exposures in Scipion and RELION."""
    from api.errors import BadOption
    from api.registrars.relion_mtf import why_no_mtf
    from api.registrars.scipion_workflow import why_no_workflow
    from api.registrars.settings import RegistrarSettings
    from api.server import Address, run
    from api.settings import ReceiverSettings

    address = Address(host=host, port=port, tls_cert=tls_cert, tls_key=tls_key, behind_proxy=behind_proxy)
    address.check()
    if trusted_proxy and not behind_proxy:
        raise BadOption(
            "--trusted-proxy was given without --behind-proxy; the receiver did not start",
            hint="Give --behind-proxy too if a proxy forwards the requests.",
        )
    if mtf is not None and (why := why_no_mtf(mtf)):
        raise BadOption(
            f"--mtf {mtf}: RELION cannot use this file as an MTF: {why}; the receiver did not start",
            hint="Give the STAR file of your camera and voltage, with rlnResolutionInversePixel and rlnMtfValue.",
        )
    if scipion is not None and not scipion.strip():
        raise BadOption(
            "--scipion names nothing; the receiver did not start",
            hint="Give Scipion's folder or command, or leave the option out: then nothing is registered in Scipion.",
        )
    if scipion_workflow is not None and not scipion:
        raise BadOption(
            "--scipion-workflow was given without --scipion; the receiver did not start",
            hint="Give --scipion too: the workflow runs in each session's Scipion project.",
        )
    if scipion_workflow is not None and (why := why_no_workflow(scipion_workflow)):
        raise BadOption(
            f"--scipion-workflow {scipion_workflow}: {why}; the receiver did not start",
            hint="Give a workflow that Scipion exported from a project of cryoferry, with the follower.",
        )
    settings = ReceiverSettings(
        data=data.absolute(),
        database=database,
        registrars=RegistrarSettings(
            scipion=str(Path(scipion).absolute()) if scipion and Path(scipion).exists() else scipion,
            projects=projects and projects.absolute(),
            scipion_workflow=scipion_workflow and scipion_workflow.absolute(),
            followers=followers,
            follower_idle_s=duration(follower_idle).total_seconds(),
            max_followers=max_followers,
            relion=relion,
            mtf=mtf and mtf.absolute(),
            float16=float16,
        ),
        reserve_bytes=reserve_bytes,
        max_file_bytes=max_file_bytes,
        upload_expiry_s=duration(upload_expiry).total_seconds(),
        body_timeout_s=body_timeout,
        max_connections=max_connections,
        requests_without_token_per_s=requests_without_token,
        max_open_uploads=max_open_uploads,
        behind_proxy=behind_proxy,
        trusted_proxies=networks(trusted_proxy or []),
        thresholds=thresholds(reject or []),
    )

    def announce(url: str) -> None:
        print_result(
            json, f"cryoferry receives at {url}, data in {data}", url=url, pid=os.getpid(), data=str(settings.data)
        )

    if dry_run:
        url = address.url(port)
        print_result(json, f"would receive at {url}, data in {data}", url=url, data=str(settings.data), dry_run=True)
        return
    warnings, secrets = _about_password(ctx, database)
    run(
        *(settings, address),
        workers=workers,
        on_listening=announce,
        data_plane=data_plane,
        warnings=warnings,
        secrets=secrets,
    )


def _about_password(ctx: typer.Context, database: str | None) -> tuple[list[str], list[Path]]:
    """Return a warning of a password that is in the list of processes, and the file that holds a password."""
    from api.database.engine import has_password

    if not database or not has_password(database):
        return [], []
    source = ctx.get_parameter_source("database")
    if source is not None and source.name == "COMMANDLINE":
        return [SHOWN_IN_LIST], []
    configuration = getattr(ctx.find_root().obj, "configuration", None)
    value = configuration and configuration.sections.get("serve", {}).get("database")
    return [], [] if value is None or value.source.startswith("$") else [Path(value.source)]
