"""Completes the OpenAPI description: problems as errors, bytes as bodies of files, how to show a token."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from transfer.wire.errors import (
    AuthRejected,
    BadRequest,
    BadValue,
    RateLimited,
    ReceiverBusy,
    ReceiverFull,
    StorageFailed,
    TransferError,
)
from transfer.wire.problems import PROBLEM_JSON, Problem

SECURITY_SCHEME = "bearer"
_BEARER = {"type": "http", "scheme": "bearer", "description": "Made on the receiver by `cryoferry token create`."}

Responses = dict[int | str, dict[str, Any]]


def parameter(
    name: str, place: str, description: str, schema: dict[str, Any] | None = None, *, required: bool = False
) -> dict[str, Any]:
    """Return the OpenAPI description of a parameter in "path", "query" or "header"."""
    described = {
        "name": name,
        "in": place,
        "required": required or place == "path",
        "schema": schema or {"type": "string"},
    }
    return {**described, "description": description}


def of_body(*parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the `openapi_extra` of a route whose body is a file, with the parameters that the route reads itself."""
    octets = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {
        "requestBody": {"required": True, "content": octets},
        "parameters": list(parameters),
    }


def problems(*errors: type[TransferError], public: bool = False) -> Responses:
    """Return the `responses` of a route that can fail with these errors, and with those that all routes share."""
    shared: tuple[type[TransferError], ...] = (
        BadRequest,
        BadValue,
        RateLimited,
        ReceiverBusy,
        ReceiverFull,
        StorageFailed,
    )
    by_status: dict[int, list[str]] = {}
    for error in (*errors, *shared, *(() if public else (AuthRejected,))):
        titles = by_status.setdefault(error.status or 500, [])
        if error.title() not in titles:
            titles.append(error.title())
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": " Or: ".join(titles), "content": {PROBLEM_JSON: schema}}
        for status, titles in sorted(by_status.items())
    }


def describe(app: FastAPI) -> None:
    """Make an app describe its routes without the answers that FastAPI assumes for validation errors."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            for operations in schema["paths"].values():
                for operation in operations.values():
                    _drop_default_validation_answer(operation)
            schema.setdefault("components", {})["securitySchemes"] = {SECURITY_SCHEME: _BEARER}
            components = schema["components"].setdefault("schemas", {})
            components.pop("HTTPValidationError", None)
            components.pop("ValidationError", None)
            components["Problem"] = Problem.model_json_schema()
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _drop_default_validation_answer(operation: dict[str, Any]) -> None:
    answer = operation["responses"].get("422", {})
    if "HTTPValidationError" in str(answer):
        del operation["responses"]["422"]  # such requests get 400
