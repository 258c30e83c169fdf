"""Every path that is known, and those of them that can be run between two ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.errors import NothingToMeasure
from benchmarks.transfer.paths.bbcp_path import Bbcp
from benchmarks.transfer.paths.contract import TransferPath
from benchmarks.transfer.paths.copy_path import Copy
from benchmarks.transfer.paths.cryoferry_path import Cryoferry
from benchmarks.transfer.paths.ends import End
from benchmarks.transfer.paths.gridftp_path import GridFtp
from benchmarks.transfer.paths.nginx_path import NginxPut
from benchmarks.transfer.paths.proxied_path import BehindProxy
from benchmarks.transfer.paths.rclone_path import Rclone
from benchmarks.transfer.paths.rsync_path import RsyncDaemon
from benchmarks.transfer.paths.ssh_paths import OverSsh
from benchmarks.transfer.paths.xrootd_path import Xrootd

OURS = "cryoferry"
FAMILIES = ("cryoferry", "proxy", "bbcp", "gridftp", "rsync", "scp", "rclone", "xrdcp", "nginx", "iperf3", "cp")


@dataclass(frozen=True, slots=True)
class Missing:
    """A path that cannot be run here, and why."""

    name: str
    lacks: str
    how_to_get: str


def peers() -> dict[str, list[TransferPath]]:
    """Return every path of other programs, by family."""
    return {
        "bbcp": [Bbcp(4), Bbcp(16), Bbcp(16, with_md5=True)],
        "gridftp": [GridFtp(files_at_once=4), GridFtp(streams=8), GridFtp(files_at_once=4, with_checksum=True)],
        "rsync": [RsyncDaemon(), OverSsh("rsync")],
        "scp": [OverSsh("scp")],
        "rclone": [Rclone()],
        "xrdcp": [Xrootd()],
        "nginx": [NginxPut()],
    }


def own_paths(near: End, *, emulated: bool) -> dict[str, list[TransferPath]]:
    """Return cryoferry's paths between two ends of this machine; without a link also behind proxies, and cp."""
    if emulated:
        alone = Cryoferry("cryoferry, system's TCP", system_congestion_control=True)
        return {OURS: [Cryoferry(), alone]}
    families: dict[str, list[TransferPath]] = {OURS: [Cryoferry(), Cryoferry("cryoferry, TLS", over_tls=True)]}
    if not near.prefix:
        families["proxy"] = [BehindProxy("nginx"), BehindProxy("caddy")]
        families["cp"] = [Copy()]
    return families


def chosen(
    families: dict[str, list[TransferPath]], names: Sequence[str], near: End, far: End, *, open_servers: bool
) -> tuple[list[TransferPath], list[Missing]]:
    """Return the paths that can be run, and those that lack something at one end; without names all are wanted.

    With `open_servers` the far end may run servers that take files from anybody.

    Raises
    ------
    NothingToMeasure
        A name is unknown.
    """
    for name in names:
        if name not in FAMILIES:
            raise NothingToMeasure(f"no path is called {name}", hint=f"Paths: {', '.join(FAMILIES)}.")
    wanted = [path for family, paths in families.items() if not names or family in names for path in paths]
    missing = []
    for path in wanted:
        if path.needs_open_server and not open_servers:
            missing.append(
                Missing(
                    path.name,
                    "permission to start a server that takes files from everybody",
                    "give it with --open-servers",
                )
            )
        elif lacks := _lacks(path, near, far):
            missing.append(Missing(path.name, lacks, path.how_to_get))
    lacking = {one.name for one in missing}
    return [path for path in wanted if path.name not in lacking], missing


def _lacks(path: TransferPath, near: End, far: End) -> str:
    here = [f"{program} at the near end" for program in path.near_programs if near.find(program) is None]
    there = [f"{program} at the far end" for program in path.far_programs if far.find(program) is None]
    return ", ".join([*here, *there])
