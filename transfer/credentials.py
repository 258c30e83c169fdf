"""Reads the token. It is never shown in a message or a log."""

from __future__ import annotations

import os
import re
from pathlib import Path

from transfer.wire.errors import AuthRejected, TokenMissing

TOKEN_VARIABLE = "CRYOFERRY_TOKEN"  # noqa: S105 - the variable's name, not a token


def check_token(token: str) -> str:
    """Return the token without spaces around it, if it can be sent in an HTTP header.

    Raises
    ------
    AuthRejected
    """
    token = token.strip()
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token):
        raise AuthRejected("the token is empty, or has characters that no token has")
    return token


def read_token(token_file: Path | None) -> str:
    """Return the token in a file; without a file, the one in the variable CRYOFERRY_TOKEN.

    Raises
    ------
    TokenMissing
        There is no file and no variable, or the file cannot be read.
    AuthRejected
        The file or the variable holds something that cannot be a token.
    """
    if token_file is not None:
        if re.match(r"cf_[a-z0-9]{8}_", token_file.name):
            raise TokenMissing("--token-file was given a token; it needs the name of a file that holds the token")
        try:
            token = token_file.read_text("utf-8").strip()
        except OSError as error:
            raise TokenMissing(f"the token file {token_file} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise TokenMissing(f"the token file {token_file} holds no text") from error
        if not token:
            raise TokenMissing(f"the token file {token_file} is empty")
        return check_token(token)
    if not (token := os.environ.get(TOKEN_VARIABLE, "")):
        raise TokenMissing
    return check_token(token)
