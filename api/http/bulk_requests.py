"""Reads the parameters of requests whose body is a file.

FastAPI needed half of the event loop's time for the parameters of a request with a small file. So these routes read
them from the bare request, and describe them with `api.http.openapi.of_body`.
"""

from __future__ import annotations

from uuid import UUID

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from api.http.openapi import parameter
from transfer.wire.errors import BadRequest
from transfer.wire.protocol import H_CONTENT_ENCODING

CONTENT_ENCODING = parameter(
    H_CONTENT_ENCODING, "header", "`zstd` or `identity`; Content-Digest is of the encoded bytes"
)
"""The description of a body's coding in the OpenAPI document."""

_UUID = TypeAdapter(UUID)


def required_header(request: Request, name: str) -> str:
    """Return the value of a header.

    Raises
    ------
    BadRequest
    """
    value = request.headers.get(name)
    if value is None:
        raise BadRequest(f"the request has no header {name}")
    return value


def whole_number(value: str, name: str, least: int, most: int) -> int:
    """Return the value of a parameter as a number.

    Raises
    ------
    BadRequest
    """
    number = int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else -1
    if not least <= number <= most:
        raise BadRequest(f"{name} {value!r} is not a whole number from {least} to {most}")
    return number


def uuid_in_path(request: Request, name: str) -> UUID:
    """Return a parameter of the path as a UUID.

    Raises
    ------
    BadRequest
    """
    try:
        return _UUID.validate_python(request.path_params[name])
    except ValidationError as error:
        raise BadRequest(f"{name} {request.path_params[name]!r} is not a UUID") from error
