"""curl's PUT to nginx: plain HTTP with the least that a server can do."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.transfer.paths.contract import Call, Job, PathSetup


@dataclass(frozen=True, slots=True)
class NginxPut:
    """curl, several files at once, to nginx with its WebDAV module. Nothing is checked."""

    files_at_once: int = 8
    near_programs: tuple[str, ...] = ("curl",)
    far_programs: tuple[str, ...] = ("nginx",)
    how_to_get: str = "Debian and Ubuntu: apt-get install curl nginx-light"
    verifies: str = ""
    needs_open_server: bool = True

    @property
    def name(self) -> str:
        """As the tables show it."""
        return f"curl PUT to nginx, {self.files_at_once} at once"

    def prepare(self, setup: PathSetup) -> Call:
        """Write nginx's configuration."""
        far, folder = setup.far, setup.far_folder
        far.run("mkdir", "-p", f"{folder}/files", f"{folder}/temporary")
        temporary = "\n".join(f"{kind}_temp_path {folder}/temporary;" for kind in ("fastcgi", "uwsgi", "scgi", "proxy"))
        user = "user root;" if setup.far_user == "root" else ""
        configuration = f"""
        daemon off; worker_processes 2; pid {folder}/pid; error_log stderr error; {user}
        events {{ worker_connections 1024; }}
        http {{
            access_log off; client_max_body_size 0; client_body_temp_path {folder}/temporary; {temporary}
            server {{
                listen {far.listens_at}:{setup.port};
                root {folder}/files;
                location / {{ dav_methods PUT; create_full_put_path on; }}
            }}
        }}
        """
        far.write(f"{folder}/nginx.conf", configuration)
        program = far.find("nginx") or "nginx"
        return Call([program, "-p", folder, "-c", f"{folder}/nginx.conf", "-e", "stderr"])

    def send(self, setup: PathSetup, job: Job) -> Call:
        """Put the files; a file holds their list, because there may be thousands."""
        target = f"http://{setup.far.address}:{setup.port}/{job.into}/"
        lines = [f'upload-file = "{source}"\nurl = "{target}"' for source in job.sources]
        listing = f"{setup.near_folder}/{job.into}.curl"
        setup.near.run("mkdir", "-p", setup.near_folder)
        setup.near.write(listing, "\n".join(lines) + "\n")
        words = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--parallel"]
        return Call([*words, "--parallel-max", f"{self.files_at_once}", "--config", listing])

    def arrived_at(self, setup: PathSetup, job: Job) -> str:
        """Return the folder that it writes into."""
        return f"{setup.far_folder}/files/{job.into}"
