"""Errors as RFC 9457 problem documents: the one place that knows which status a refusal has.

The caller sees what it can act on. What a fault really was stands in the log, beside the correlation id that the caller
has, because a disk's troubles are the operator's.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import structlog
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from icn.kernel.errors import Fault, Kind, Refusal
from icn.services.answers import Refused, refused

log = structlog.get_logger("icn.http")

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1
ERRORS_LISTED_MAX = 50
"""Of a body with many faults, this many are told."""

STATUS_BY_KIND = {
    Kind.INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    Kind.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Kind.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Kind.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Kind.CONFLICT: HTTPStatus.CONFLICT,
    Kind.UNAFFORDABLE: HTTPStatus.PAYMENT_REQUIRED,
    Kind.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Kind.TOO_MANY: HTTPStatus.TOO_MANY_REQUESTS,
    Kind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}


class KeyNeeded(Refusal):
    """The request bears no key, or not one that is valid here."""

    code: ClassVar[str] = "access.key_needed"
    kind: ClassVar[Kind] = Kind.UNAUTHENTICATED

    def __init__(self) -> None:
        super().__init__("this request needs a valid key: x-api-key, or Authorization: Bearer")


class BodyTooLarge(Refusal):
    """The request is longer than this route takes."""

    code: ClassVar[str] = "http.body_too_large"
    kind: ClassVar[Kind] = Kind.TOO_LARGE

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        super().__init__(f"the body has more than {bytes_max} bytes, the most that this route takes")


class Unparsable(Refusal):
    """The body is not JSON, or a header cannot be read. Answered with 400."""

    code: ClassVar[str] = "http.unparsable"
    kind: ClassVar[Kind] = Kind.INVALID

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class BodyOverdue(Refusal):
    """The request did not arrive in time. Answered with 408."""

    code: ClassVar[str] = "http.body_overdue"
    kind: ClassVar[Kind] = Kind.INVALID

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"the body did not arrive within {seconds} seconds")


class NotJson(Refusal):
    """The body's content type is not JSON. Answered with 415."""

    code: ClassVar[str] = "http.not_json"
    kind: ClassVar[Kind] = Kind.INVALID

    def __init__(self) -> None:
        super().__init__("the body must be JSON: Content-Type: application/json")


class NotCar(Refusal):
    """The body's content type is not that of a CAR. Answered with 415."""

    code: ClassVar[str] = "http.not_car"
    kind: ClassVar[Kind] = Kind.INVALID

    def __init__(self) -> None:
        super().__init__("the body must be a CAR: Content-Type: application/vnd.ipld.car")


class NotTar(Refusal):
    """The body's content type is not that of a tar. Answered with 415."""

    code: ClassVar[str] = "http.not_tar"
    kind: ClassVar[Kind] = Kind.INVALID

    def __init__(self) -> None:
        super().__init__("the body must be a tar: Content-Type: application/x-tar")


_STATUS_BY_CODE = {
    Unparsable.code: HTTPStatus.BAD_REQUEST,
    BodyOverdue.code: HTTPStatus.REQUEST_TIMEOUT,
    NotJson.code: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    NotCar.code: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    NotTar.code: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}


def problem(
    status: int,
    *,
    code: str,
    detail: str,
    correlation: str,
    fields: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """A problem document. Its own members win over `fields` of the same name."""
    phrase = HTTPStatus(status).phrase
    document = {
        **(fields or {}),
        "type": f"urn:icn:problem:{code}",
        "title": phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "correlation_id": correlation,
        "error": detail,
    }
    body = json.dumps(document, ensure_ascii=True).encode()
    return Response(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def of_refused(answer: Refused, correlation: str, beside: Mapping[str, Any] | None = None) -> Response:
    """The rules said no. `beside`: members that only the surface knows."""
    status = _STATUS_BY_CODE.get(answer.code, STATUS_BY_KIND[answer.kind])
    headers = {}
    if answer.kind is Kind.TOO_MANY:
        headers["retry-after"] = str(answer.fields.get("retry_after_seconds", RETRY_AFTER_SECONDS))
    if answer.kind is Kind.UNAUTHENTICATED:
        headers["www-authenticate"] = "Bearer"
    fields = {**answer.fields, **(beside or {})}
    return problem(
        status, code=answer.code, detail=answer.message, correlation=correlation, fields=fields, headers=headers
    )


def of_refusal(refusal: Refusal, correlation: str) -> Response:
    """The same, as raised."""
    return of_refused(refused(refusal), correlation)


def of_fault(fault: Fault, correlation: str) -> Response:
    """The world failed us: the operator's message goes to the log, the caller gets a general one."""
    log.error("fault", correlation_id=correlation, code=fault.code, error=str(fault), exc_info=fault)
    detail = "the node cannot do this at present; its log says why under this correlation id"
    headers = {"retry-after": str(RETRY_AFTER_SECONDS)} if fault.retryable else {}
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE, code=fault.code, detail=detail, correlation=correlation, headers=headers
    )


def of_invalid_body(error: ValidationError, correlation: str) -> Response:
    """A body, or query, that is not what the route takes: every fault is listed, with where it is."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    listed = [
        {"at": ".".join(str(part) for part in item["loc"]), "type": item["type"], "message": item["msg"]}
        for item in errors[:ERRORS_LISTED_MAX]
    ]
    if any(item["type"] == "json_invalid" for item in errors):
        return of_refusal(Unparsable(f"the body is not JSON: {errors[0]['msg']}"), correlation)
    first = listed[0]
    detail = f"{first['at']}: {first['message']}" if first["at"] else first["message"]
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        code="http.invalid_request",
        detail=detail[:500],
        correlation=correlation,
        fields={"errors": listed},
    )


def of_http(error: HTTPException, correlation: str) -> Response:
    """What the router says: no such route, or not with this method."""
    codes = {
        HTTPStatus.NOT_FOUND: ("http.no_such_route", "there is no such route; /openapi.json lists them"),
        HTTPStatus.METHOD_NOT_ALLOWED: ("http.method_not_allowed", "the route does not take this method"),
    }
    code, detail = codes.get(HTTPStatus(error.status_code), ("http.refused", str(error.detail)))
    return problem(
        error.status_code, code=code, detail=detail, correlation=correlation, headers=dict(error.headers or {})
    )


def of_unforeseen(error: Exception, correlation: str) -> Response:
    """A bug of ours. Says nothing but the name under which the log has it."""
    log.critical("bug", correlation_id=correlation, error=f"{type(error).__name__}: {error}", exc_info=error)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        code="http.bug",
        detail="the node has a bug; its log has it under this correlation id",
        correlation=correlation,
    )


def response_to(error: Exception, correlation: str) -> Response:
    """Whatever was raised, as an answer."""
    match error:
        case Refusal():
            return of_refusal(error, correlation)
        case Fault():
            return of_fault(error, correlation)
        case ValidationError():
            return of_invalid_body(error, correlation)
        case HTTPException():
            return of_http(error, correlation)
        case _:
            return of_unforeseen(error, correlation)


class Disconnected(Exception):
    """The client has left, or takes nothing more. Nobody is to be answered."""


async def answering(
    run: Callable[[Scope, Receive, Send], Awaitable[None]],
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    correlation: str,
) -> None:
    """Run an application so that whatever it raises becomes an answer: the outermost layer of the surface.

    Raises `Disconnected`, which is nobody's error.
    """
    started = False

    async def noting(message: Message) -> None:
        nonlocal started
        started = True
        await send(message)

    try:
        await run(scope, receive, noting)
    except Disconnected:
        raise
    except Exception as error:
        if started:  # too late for another answer: the connection breaks, which the client can see
            log.critical("bug", correlation_id=correlation, error=f"{type(error).__name__}: {error}", exc_info=error)
            raise
        await response_to(error, correlation)(scope, receive, send)
