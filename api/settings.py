"""What an operator decides about the receiver."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from api.registrars.settings import RegistrarSettings

MIB = 1 << 20
SQLITE_NAME = "receiver.sqlite"
_VARIABLE = "_CRYOFERRY_RECEIVER"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    """Everything that `create_app` needs to know.

    Attributes
    ----------
    data
        Folder that holds the sessions' files, the part files and, by default, the database. One file system.
    database
        SQLAlchemy URL; None: `receiver.sqlite` in the data folder.
    registrars
        Where published exposures are registered.
    reserve_bytes
        Free space that uploads leave untouched, so that the database can always be written.
    max_file_bytes
        Largest file that is accepted.
    upload_expiry_s
        An uncommitted upload to which nothing was added for that long is withdrawn.
    body_timeout_s
        A client that sends nothing for that long in the middle of a body is cut off.
    run_id
        Identifies this run of the receiver: what an earlier run received is checked against the disk before commit.
    prepared
        Whether another process of this run holds the data folder's lock and has prepared and recovered it.
    """

    data: Path
    database: str | None = None
    registrars: RegistrarSettings = field(default_factory=RegistrarSettings)
    reserve_bytes: int = 256 * MIB
    max_file_bytes: int = 1 << 40
    upload_expiry_s: float = 7 * 86400.0
    body_timeout_s: float = 30.0
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    prepared: bool = False

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the database."""
        return self.database or f"sqlite:///{self.data.absolute() / SQLITE_NAME}"

    def to_environment(self) -> None:
        """Tell worker processes, which inherit this process's environment, what to do."""
        os.environ[_VARIABLE] = json.dumps(asdict(self), default=str)

    @classmethod
    def from_environment(cls) -> Self:
        """Return what `to_environment` told."""
        told = json.loads(os.environ[_VARIABLE])
        registrars = told.pop("registrars")
        paths = {key: registrars[key] and Path(registrars[key]) for key in ("scipion", "projects")}
        return cls(**{**told, "data": Path(told["data"]), "registrars": RegistrarSettings(**{**registrars, **paths})})
