"""Requests to a node over `http.client`, one connection each: sent, retried, bounded, and errors made ours.

A write whose connection was lost may have happened. It is repeated under the same Idempotency-Key, so that it happens
once, a bounded number of times; a first attempt that found nobody listening is reported at once. An answer that does
not come in time is not repeated, or one time-out would become four; the report says under which key to go on.

Not here: which node and key (`settings`), what a refusal means (`problems`), following events (`following`).
"""

import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

import icn
from icn.cli.answer import Answer
from icn.cli.endings import Ended, Exit, Interrupted
from icn.cli.problems import ended_by
from icn.cli.settings import Connection
from icn.cli.trust import next_step_for
from icn.cli.world import World

ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""Base64 of the largest content is a sixth of this."""
ERROR_BYTES_MAX = 64 * 1024
UNREACHABLE = "cli.unreachable"
UNTRUSTED = "cli.untrusted"
RETRY_PAUSES = (0.25, 0.5, 1.0)
"""Seconds before each repetition after a lost connection."""

Query = Sequence[tuple[str, str | int | None]]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent as often as needed."""

    method: str
    path: str
    body: bytes | BinaryIO | None
    headers: Mapping[str, str]
    key: str | None
    """The idempotency key of a write."""


class NotConnected(Exception):
    """Nobody could be reached: nothing was sent."""


class Untrusted(NotConnected):
    """Somebody is there, and does not prove to be who was meant."""

    def __init__(self, why: str, next_step: str) -> None:
        super().__init__(why)
        self.next_step = next_step


class Lost(Exception):
    """The connection ended between the request and the end of its answer: it may have been done."""


class Client:
    """Talks to one node for the time of one command."""

    def __init__(self, connection: Connection, world: World, correlation_id: str) -> None:
        self._connection = connection
        self._world = world
        self._correlation_id = correlation_id

    def get(self, path: str, query: Query = ()) -> Answer:
        """Read something."""
        return self._exchange(self.request("GET", path, query=query))

    def ask(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Read something that is asked for with a body."""
        return self._exchange(self.request("POST", path, body=body))

    def write(self, path: str, body: Mapping[str, Any] | None, *, key: str) -> Answer:
        """Change something, once, however often it has to be sent."""
        return self._exchange(self.request("POST", path, body=body, key=key))

    def send(self, path: str, file: BinaryIO, media_type: str, query: Query, *, size: int | None = None) -> Answer:
        """Send a file as it is read, once: what was read is gone. `size`: of the file, where it is known."""
        length = {} if size is None else {"Content-Length": str(size)}
        headers = {"Content-Type": media_type, **length}
        request = replace(self.request("POST", path, query=query, headers=headers), body=file)
        try:
            return self._once(request)
        except NotConnected as error:
            raise self.unreachable(error) from error
        except Lost as error:
            raise self.unreachable(str(error), next_step="Part of it may have been taken; send it again.") from error

    @contextmanager
    def stream(self, path: str, query: Query) -> Iterator[Callable[[int], bytes]]:
        """Read an answer of any size piece by piece. Raises `Ended`, also in the middle."""
        request = self.request("GET", path, query=query)
        try:
            connection, response = self.open(request)
            try:
                if not 200 <= response.status < 300:
                    raise self.refusal(response, response.read(ERROR_BYTES_MAX))
                yield lambda most: _piece(response, most)
            finally:
                connection.close()
        except NotConnected as error:
            raise self.unreachable(error) from error
        except TimeoutError as error:
            raise self._no_answer(request) from error
        except (Lost, http.client.IncompleteRead) as error:
            raise self.unreachable(
                str(error), next_step="The node broke off: its log says why. What was written is not whole."
            ) from error

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Request:
        """A request with everything that all of them carry."""
        pairs = [(name, value) for name, value in query if value is not None]
        try:
            asked = f"?{urlencode(pairs)}" if pairs else ""
            content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise Ended(
                Exit.USAGE,
                "what was typed holds bytes that are no text in UTF-8",
                next_step="Type it anew, in a terminal that writes UTF-8.",
            ) from error
        target = self._connection.address.prefix + path + asked
        given = {
            "Accept": "application/json, application/problem+json, application/octet-stream",
            "User-Agent": f"icn-cli/{icn.__version__}",
            "Connection": "close",
            "x-correlation-id": self._correlation_id,
        }
        if self._connection.api_key is not None:
            given["x-api-key"] = self._connection.api_key
        if self._connection.token is not None:
            given["Authorization"] = f"Bearer {self._connection.token}"
        if body is not None:
            given["Content-Type"] = "application/json"
        if key is not None:
            given["Idempotency-Key"] = key
        return Request(method, target, content, given | dict(headers or {}), key)

    def open(self, request: Request, *, idle: float | None = None) -> tuple[http.client.HTTPConnection, Any]:
        """Send it, and return the connection and its response, whose body is not read yet.

        `idle`: seconds between bytes of the answer, instead of the connection's time-out. Raises `NotConnected`,
        `Lost`, and `Ended` for a peer that does not speak HTTP or does not answer in time. The caller closes.
        """
        connection = self._connected()
        try:
            if idle is not None and connection.sock is not None:
                connection.sock.settimeout(idle)
            connection.request(request.method, request.path, request.body, dict(request.headers))
            return connection, connection.getresponse()
        except TimeoutError as error:
            connection.close()
            raise self._no_answer(request) from error
        except OSError as error:  # RemoteDisconnected among them
            connection.close()
            raise Lost(_reason(error)) from error
        except http.client.HTTPException as error:
            connection.close()
            raise self._not_http() from error
        except BaseException:
            connection.close()
            raise

    def refusal(self, response: http.client.HTTPResponse, body: bytes) -> Ended:
        """What to report for a response that is not a success."""
        return ended_by(
            response.status,
            body,
            retry_after=response.getheader("Retry-After"),
            correlation_id=response.getheader("x-correlation-id") or self._correlation_id,
        )

    def unreachable(self, why: Exception | str, *, next_step: str = "") -> Ended:
        """Nobody answers, or not who was meant."""
        code = UNREACHABLE
        if isinstance(why, Untrusted):
            code, next_step = UNTRUSTED, next_step or why.next_step
        return Ended(
            Exit.UNREACHABLE,
            f"no connection to the node at {self._connection.address}: {why}",
            code=code,
            next_step=next_step or "Is it running, and is --node or ICN_NODE_URL its address?",
        )

    def _exchange(self, request: Request) -> Answer:
        try:
            return self._try(request)
        except KeyboardInterrupt:
            if request.key is None:
                raise
            raise Interrupted(self._going_on(request, "")) from None

    def _try(self, request: Request) -> Answer:
        lost = ""
        for pause in (*RETRY_PAUSES, None):
            try:
                return self._once(request)
            except NotConnected as error:
                if not lost:
                    raise self.unreachable(error) from error
                lost = str(error)
            except Lost as error:
                lost = str(error)
            if pause is not None:
                self._world.pause(pause)
        raise self.unreachable(
            f"{lost}, {1 + len(RETRY_PAUSES)} times", next_step=self._going_on(request, "the connection was lost")
        )

    def _once(self, request: Request) -> Answer:
        connection, response = self.open(request)
        try:
            body = response.read(ANSWER_BYTES_MAX + 1)
            if response.length:  # a short body raises nothing when a size is given to read
                raise Lost("the answer was cut short")
        except TimeoutError as error:
            raise self._no_answer(request) from error
        except (OSError, http.client.IncompleteRead) as error:
            raise Lost(_reason(error)) from error
        except http.client.HTTPException as error:
            raise self._not_http() from error
        finally:
            connection.close()
        if len(body) > ANSWER_BYTES_MAX:
            raise Ended(Exit.FAULT, f"the answer has more than {ANSWER_BYTES_MAX} bytes", code="cli.unexpected_answer")
        if not 200 <= response.status < 300:
            raise self.refusal(response, body)
        return Answer(response.status, body)

    def _connected(self) -> http.client.HTTPConnection:
        address, timeout, trust = self._connection.address, self._connection.timeout, self._connection.trust
        try:
            connection = (
                http.client.HTTPSConnection(address.host, address.port, timeout=timeout, context=trust)
                if address.scheme == "https"
                else http.client.HTTPConnection(address.host, address.port, timeout=timeout)
            )
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            next_step = next_step_for(error, was_told=trust is not None)
            raise Untrusted(f"its certificate is not trusted: {error.verify_message}", next_step) from error
        except TimeoutError as error:
            raise NotConnected(f"not within {timeout:g} s") from error
        except (OSError, UnicodeError, http.client.InvalidURL) as error:  # UnicodeError: a name no DNS can hold
            raise NotConnected(_reason(error)) from error
        return connection

    def _no_answer(self, request: Request) -> Ended:
        return Ended(
            Exit.UNREACHABLE,
            f"the node at {self._connection.address} did not answer within {self._connection.timeout:g} s",
            code="cli.no_answer",
            next_step=self._going_on(request, "Wait longer with --timeout"),
            correlation_id=self._correlation_id,
        )

    def _going_on(self, request: Request, otherwise: str) -> str:
        if request.key is None:
            return f"{otherwise[:1].upper()}{otherwise[1:]}; try again."
        return f"It may have been done: repeat it with --idempotency-key {request.key}, and it is done once."

    def _not_http(self) -> Ended:
        return Ended(
            Exit.FAULT,
            f"what answers at {self._connection.address} does not speak HTTP as a node does",
            code="cli.unexpected_answer",
            next_step="Is --node or ICN_NODE_URL the address of the node's API, with the right http:// or https://?",
        )


def _piece(response: http.client.HTTPResponse, most: int) -> bytes:
    """Up to `most` bytes of an answer, none at its end. Raises `Lost` where it ends too early."""
    try:
        piece = response.read(most)
    except TimeoutError:
        raise
    except OSError as error:
        raise Lost(_reason(error)) from error
    if not piece and response.length:
        raise Lost("the answer was cut short")
    return piece


def path_of(*segments: str) -> str:
    """A path of these segments, whatever is in them."""
    return "".join(f"/{quote(segment, safe=':')}" for segment in segments)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error) or type(error).__name__
