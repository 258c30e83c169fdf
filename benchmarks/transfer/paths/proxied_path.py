"""cryoferry behind a proxy that ends TLS: nginx or Caddy in front of `cryoferry serve` on loopback."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal

from benchmarks.transfer.paths.contract import Call, Job, PathSetup
from benchmarks.transfer.paths.cryoferry_path import Cryoferry, make_certificate
from benchmarks.transfer.paths.servers import free_port

_PROXY_AFTER_RECEIVER = """
{receiver} & receiver=$!
until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do kill -0 $receiver || exit 1; sleep 0.1; done
exec {proxy}
"""


@dataclass(frozen=True, slots=True)
class BehindProxy:
    """cryoferry with a receiver that takes clear text on loopback, and a proxy that ends TLS in front of it.

    Both run at the far end. The far end must be this machine, in its own network.
    """

    proxy: Literal["nginx", "caddy"]
    verifies: str = "BLAKE3"
    near_programs: tuple[str, ...] = ()
    needs_open_server: bool = False

    @property
    def name(self) -> str:
        """As the tables show it."""
        return f"cryoferry, {self.proxy} in front"

    @property
    def far_programs(self) -> tuple[str, ...]:
        """What must be installed there."""
        return (self.proxy, "bash", "openssl")

    @property
    def how_to_get(self) -> str:
        """For people who lack the proxy."""
        return f"Debian and Ubuntu: apt-get install {'nginx-light' if self.proxy == 'nginx' else 'caddy'}"

    def prepare(self, setup: PathSetup) -> Call:
        """Write the proxy's configuration and certificate; the proxy starts once the receiver listens."""
        backend = PathSetup(setup.near, setup.far, free_port(), setup.near_folder, setup.far_folder, setup.far_user)
        receiver = Cryoferry().prepare(backend)
        make_certificate(setup)
        configuration = f"{setup.far_folder}/proxy.conf"
        program = setup.far.find(self.proxy) or self.proxy
        if self.proxy == "nginx":
            setup.far.write(configuration, _nginx(setup, backend.port))
            words = [program, "-p", setup.far_folder, "-c", configuration, "-e", "stderr"]
        else:
            setup.far.write(configuration, _caddy(setup, backend.port))
            words = [program, "run", "--config", configuration, "--adapter", "caddyfile"]
        script = _PROXY_AFTER_RECEIVER.format(
            receiver=shlex.join(receiver.words), port=backend.port, proxy=shlex.join(words)
        )
        return Call(["bash", "-c", script], {**receiver.environment, "HOME": setup.far_folder})

    def send(self, setup: PathSetup, job: Job) -> Call:
        """Send the folder to the proxy over TLS."""
        return Cryoferry(over_tls=True).send(setup, job)

    def arrived_at(self, setup: PathSetup, job: Job) -> str:
        """Return where the receiver publishes a session's files."""
        return Cryoferry().arrived_at(setup, job)


def _nginx(setup: PathSetup, backend_port: int) -> str:
    folder = setup.far_folder
    kinds = ("client_body", "fastcgi", "uwsgi", "scgi", "proxy")
    temporary = " ".join(f"{kind}_temp_path {folder}/temporary;" for kind in kinds)
    user = "user root;" if setup.far_user == "root" else ""
    return f"""
    daemon off; worker_processes 2; pid {folder}/proxy.pid; error_log stderr error; {user}
    events {{ worker_connections 1024; }}
    http {{
        access_log off; client_max_body_size 0; {temporary}
        upstream receiver {{ server 127.0.0.1:{backend_port}; keepalive 64; }}
        server {{
            listen {setup.far.listens_at}:{setup.port} ssl;
            ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem; ssl_protocols TLSv1.3;
            location / {{
                proxy_pass http://receiver; proxy_http_version 1.1; proxy_set_header Connection "";
                proxy_set_header Host $http_host;
                proxy_request_buffering off; proxy_buffering off; proxy_read_timeout 300s;
            }}
        }}
    }}
    """


def _caddy(setup: PathSetup, backend_port: int) -> str:
    folder = setup.far_folder
    return f"""
    {{
        admin off
        auto_https off
    }}
    https://{setup.far.address}:{setup.port} {{
        bind {setup.far.listens_at}
        tls {folder}/certificate.pem {folder}/key.pem
        reverse_proxy 127.0.0.1:{backend_port}
    }}
    """
