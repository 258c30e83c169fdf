"""The receiver's defaults, for its settings and for the options of its commands.

A module of its own: `cryoferry serve --help` reads them without loading the receiver.
"""

from __future__ import annotations

from typing import Literal

DataPlane = Literal["auto", "socket", "stream"]
"""How the bodies of files are read; see `api.intake.socket_protocol.protocol_for`."""

FollowersAtEnd = Literal["end", "keep"]
"""What becomes of the followers of Scipion's projects when the receiver ends in order."""

HOST = "127.0.0.1"
PORT = 8642
WORKERS = 1
RESERVE_BYTES = 256 << 20
MAX_FILE_BYTES = 1 << 40
UPLOAD_EXPIRY_DAYS = 7
BODY_TIMEOUT_S = 30.0
REQUESTS_WITHOUT_TOKEN_PER_S = 20.0
MAX_OPEN_UPLOADS = 256
RELION = True
FOLLOWERS: FollowersAtEnd = "keep"
FOLLOWER_IDLE_MIN = 30
FLOAT16 = False
DATA_PLANE: DataPlane = "auto"
