"""The receiver's settings, which its operator chooses."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from api import defaults
from api.registrars.settings import RegistrarSettings
from transfer.wire.verdict import Side, StartingThreshold

SQLITE_NAME = "receiver.sqlite"
_VARIABLE = "_CRYOFERRY_RECEIVER"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    """Everything that `create_app` needs to know.

    Attributes
    ----------
    data
        Folder on one file system for the sessions' files, the part files and, by default, the database.
    database
        SQLAlchemy URL; None: `receiver.sqlite` in the data folder.
    registrars
        Which registrars register published exposures, and where.
    reserve_bytes
        Free space that uploads leave unused, so that the database can always be written.
    max_file_bytes
        Largest file that is accepted.
    upload_expiry_s
        An uncommitted upload is withdrawn when nothing was added to it for this time.
    body_timeout_s
        A client is disconnected when it sends nothing for this time in the middle of a body.
    large_requests_bytes
        Memory that the JSON bodies above 64 KiB may hold together.
    max_connections
        How many connections each process keeps open; None: as many as its limit on open files permits.
    requests_without_token_per_s
        How many requests without a valid token one address may make in the long run; ten times as many at once.
    max_open_uploads
        How many uploads in parts one token may have to which bytes came lately.
    behind_proxy
        Whether a proxy forwards the requests and names the addresses of their clients.
    trusted_proxies
        Addresses or networks of proxies; none: one proxy, on loopback or a private network.
    thresholds
        Those that a new session begins with.
    run_id
        Identifies this run of the receiver. What an earlier run received is read again before commit.
    prepared
        Whether another process of this run holds the data folder's lock and has prepared and recovered it.
    """

    data: Path
    database: str | None = None
    registrars: RegistrarSettings = field(default_factory=RegistrarSettings)
    reserve_bytes: int = defaults.RESERVE_BYTES
    max_file_bytes: int = defaults.MAX_FILE_BYTES
    upload_expiry_s: float = defaults.UPLOAD_EXPIRY_DAYS * 86400.0
    body_timeout_s: float = defaults.BODY_TIMEOUT_S
    large_requests_bytes: int = 64 << 20
    max_connections: int | None = None
    requests_without_token_per_s: float = defaults.REQUESTS_WITHOUT_TOKEN_PER_S
    max_open_uploads: int = defaults.MAX_OPEN_UPLOADS
    behind_proxy: bool = False
    trusted_proxies: tuple[str, ...] = ()
    thresholds: tuple[StartingThreshold, ...] = ()
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    prepared: bool = False

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the database."""
        return self.database or f"sqlite:///{self.data.absolute() / SQLITE_NAME}"

    def to_environment(self) -> None:
        """Put the settings into the environment, which worker processes inherit."""
        os.environ[_VARIABLE] = json.dumps(asdict(self), default=str)

    @classmethod
    def from_environment(cls) -> Self:
        """Return the settings that `to_environment` put into the environment."""
        given = json.loads(os.environ[_VARIABLE])
        registrars = given.pop("registrars")
        paths = {key: registrars[key] and Path(registrars[key]) for key in ("projects", "scipion_workflow", "mtf")}
        known = {
            "data": Path(given["data"]),
            "registrars": RegistrarSettings(**{**registrars, **paths}),
            "trusted_proxies": tuple(given["trusted_proxies"]),
            "thresholds": tuple(
                StartingThreshold(figure, Side(side), value) for figure, side, value in given["thresholds"]
            ),
        }
        return cls(**{**given, **known})
