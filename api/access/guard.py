"""Checks permissions: each route declares what it needs, and a request is checked before its body is read.

A route declares its permission as a dependency:

    router = APIRouter(route_class=GuardedRoute)

    @router.put(protocol.SESSION, dependencies=[permits(Permission.WRITE)])

`GuardedRoute` refuses a route that declares none, when the route is defined. FastAPI reads a body before it calls
dependencies; so `GuardedRoute` asks the dependency itself first, then reads the body within the limits that the route
declares, and only then hands the request to FastAPI. The permission is also part of the OpenAPI description, as
`x-permission`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response, params
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError

from api.access.permissions import Permission, require_permission, require_session
from api.access.tokens import RecentTokens, Token, check_token
from api.http.connections import Place
from api.http.control_bodies import SMALL_BYTES, ControlBodies
from api.http.front_door import Front
from api.http.openapi import SECURITY_SCHEME
from api.http.request_turns import Turn
from api.receiver import receiver_of
from transfer.wire.errors import AuthRejected

_CHECKED = "cryoferry.permission_checked"


def front_of(request: Request) -> Front:
    """Return what limits the requests of an app."""
    front: Front = request.app.state.front
    return front


class Permit:
    """What a route needs of a request: a permission, and a body of a bounded size. Made by `permits`.

    Parameters
    ----------
    is_bulk
        Whether the body is a file's: it is not read here, and a token that was found valid counts for a second.
    max_body_bytes
        How large any other body may be.
    """

    def __init__(self, permission: Permission, *, is_bulk: bool, max_body_bytes: int) -> None:
        self.permission = permission
        self.is_bulk = is_bulk
        self.max_body_bytes = max_body_bytes

    async def __call__(self, request: Request) -> None:
        """Check a request, once.

        Raises
        ------
        AuthRejected, ScopeRejected
        """
        if _CHECKED in request.scope:
            return
        if self.permission != Permission.PUBLIC:
            token = await _valid_token(request, may_be_recent=self.is_bulk)
            require_permission(token, self.permission)
            session = request.path_params.get("session")
            if session is not None:
                require_session(token, session)
            request.state.token = token
        request.scope[_CHECKED] = self.permission

    def described(self) -> dict[str, Any]:
        """Return what the OpenAPI description of the route says of this."""
        security: list[dict[str, list[str]]] = [] if self.permission == Permission.PUBLIC else [{SECURITY_SCHEME: []}]
        return {"security": security, "x-permission": self.permission.value}


async def _valid_token(request: Request, *, may_be_recent: bool) -> Token:
    state, limits = request.state, front_of(request).requests
    try:
        token = await _checked(request, state.bearer_token, may_be_recent=may_be_recent)
    except AuthRejected:
        limits.note_rejected(state.client_address, state.bearer_token)
        raise
    limits.note_valid(state.client_address, state.bearer_token)
    place: Place | None = getattr(state, "place", None)  # of the connection; None: not accepted by api.http
    if place is not None:
        place.trust()
    return token


async def _checked(request: Request, text: str, *, may_be_recent: bool) -> Token:
    if not text:
        raise AuthRejected("the request has no `Authorization: Bearer` token")
    recent: RecentTokens = request.app.state.recent_tokens
    token = recent.get(text) if may_be_recent else None
    if token is None:
        token = await run_in_threadpool(check_token, receiver_of(request).database, text)
        recent.put(text, token)
    return token


def permits(permission: Permission, *, is_bulk: bool = False, max_body_bytes: int = SMALL_BYTES) -> params.Depends:
    """Return the dependency by which a route declares the permission that it needs, see `Permit`."""
    dependency: params.Depends = Depends(Permit(permission, is_bulk=is_bulk, max_body_bytes=max_body_bytes))
    return dependency


class PermissionMissing(TypeError):
    """A route does not declare what permission it needs."""


class GuardedRoute(APIRoute):
    """A route that checks a request's permission before it reads the body.

    Raises
    ------
    PermissionMissing
        The route does not have `permits(…)` among its dependencies, exactly once.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        dependencies: Sequence[params.Depends] | None = None,
        openapi_extra: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        declared = [one.dependency for one in dependencies or () if isinstance(one.dependency, Permit)]
        if len(declared) != 1:
            raise PermissionMissing(f"{path}: give the route one dependency permits(…); a public route has PUBLIC")
        self.permit = declared[0]
        described = {**(openapi_extra or {}), **self.permit.described()}
        super().__init__(path, endpoint, dependencies=dependencies, openapi_extra=described, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what handles a request."""
        handle, permit = super().get_route_handler(), self.permit
        if permit.is_bulk or self.body_field is None:
            return _checked_first(permit, handle)

        async def with_body(request: Request) -> Response:
            bodies: ControlBodies = request.app.state.control_bodies
            async with bodies.read(request, permit.max_body_bytes) as whole:
                await whole.check()
                return await handle(whole)

        return _checked_first(permit, with_body)


def _checked_first(
    permit: Permit, handle: Callable[[Request], Awaitable[Response]]
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def guarded(request: Request) -> Response:
        turn: Turn = request.state.turn
        if turn.is_known and not permit.is_bulk:  # bodies of files have their own turns
            await turn.begin()
        await permit(request)  # wrong tokens take no turn of the address that they share with others
        if not turn.is_known and not permit.is_bulk:
            await turn.begin()
        return await handle(request)

    return guarded


def include_guarded(app: FastAPI, router: APIRouter) -> None:
    """Add a router to an app.

    Raises
    ------
    PermissionMissing
        A route of it does not check permissions.
    """
    for route in router.routes:
        if not isinstance(route, GuardedRoute):
            raise PermissionMissing(f"{route}: make its router with route_class=GuardedRoute")
    app.include_router(router)


async def _token_of(request: Request) -> Token:
    token: Token = request.state.token
    return token


Bearer = Annotated[Token, Depends(_token_of)]
"""A route's parameter: the token of the request, already checked."""


async def _token_if_any(request: Request) -> Token | None:
    if not request.state.bearer_token:
        return None
    try:
        return await _valid_token(request, may_be_recent=True)
    except (AuthRejected, DBAPIError):
        return None


BearerIfAny = Annotated[Token | None, Depends(_token_if_any)]
"""A public route's parameter: the request's token; None if it has none that is valid."""
