"""Follows server-sent events over `http.client`, and takes up again after the last id when the connection ends.

The stream, as WHATWG HTML section 9.2 writes it: fields `id`, `data` and comments, an empty line ends an event. A quiet
stream is taken for a dead connection after a while and opened anew, which loses nothing once there is an id.
"""

import http.client
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from icn.cli.answer import unexpected
from icn.cli.client import Client, Lost, NotConnected, Query
from icn.cli.endings import Ended, Exit
from icn.cli.world import World

IDLE_SECONDS = 90.0
LINE_BYTES_MAX = 4 * 1024 * 1024
EVENT_LINES_MAX = 1024
ERROR_BYTES_MAX = 64 * 1024
PAUSE_FIRST = 0.5
PAUSE_MAX = 15.0
FROM_NOW = "from the present; events between may be missing"
TRIES_MAX = 20
"""Failures in a row before giving up: four minutes and a half."""


class Told(NamedTuple):
    """One event."""

    name: str
    """Its type; empty where the stream gives it none."""
    data: str


@dataclass(slots=True)
class EventLines:
    """Puts the lines of a stream together. `line` returns an event when it is complete."""

    last_id: str | None = None
    _id: str | None = None
    _name: str = ""
    _data: list[str] = field(default_factory=list)

    def line(self, raw: bytes) -> Told | None:
        """Take the next line, without its end."""
        text = raw.decode(errors="replace")
        if not text:
            if self._id is not None:
                self.last_id = self._id
            told = Told(self._name, "\n".join(self._data))
            self._name, self._data = "", []
            return told if told.data else None
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            if len(self._data) == EVENT_LINES_MAX:
                raise unexpected(f"an event has more than {EVENT_LINES_MAX} lines")
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def begin_anew(self) -> None:
        """A new connection: what was incomplete comes again."""
        self._id, self._name, self._data = None, "", []


def follow(client: Client, world: World, path: str, query: Query, *, begins: str = FROM_NOW) -> Iterator[Told]:
    """Each event, without end. `begins`: where the stream begins for who has no event's id yet.

    Raises `Ended` when the node cannot be reached, or reached again.
    """
    lines = EventLines()
    failures = 0
    has_answered = False
    while True:
        try:
            for told in _one_connection(client, path, query, lines):
                has_answered = True
                if told is not None:
                    failures = 0
                    yield told
            reason = "the stream ended"
        except (NotConnected, Lost) as error:
            if not has_answered:
                raise client.unreachable(error) from error
            reason = str(error)
        except Ended as ended:
            if not has_answered or ended.exit_status not in {Exit.FAULT, Exit.UNREACHABLE}:
                raise
            reason = ended.what
        failures += 1
        if failures > TRIES_MAX:
            raise client.unreachable(f"{reason}, {failures} times")
        since = f"after event {lines.last_id}" if lines.last_id else begins
        world.say(f"{reason}; taking up again {since}")
        world.pause(min(PAUSE_MAX, PAUSE_FIRST * 2 ** (failures - 1)))


def _one_connection(client: Client, path: str, query: Query, lines: EventLines) -> Iterator[Told | None]:
    """The events of one connection; first None, when the node has accepted it."""
    headers = {"Accept": "text/event-stream"}
    if lines.last_id is not None:
        headers["Last-Event-ID"] = lines.last_id
        query = [(name, value) for name, value in query if name not in {"tail", "since"}]
    lines.begin_anew()
    connection, response = client.open(client.request("GET", path, query=query, headers=headers), idle=IDLE_SECONDS)
    try:
        if response.status != 200:
            raise client.refusal(response, response.read(ERROR_BYTES_MAX))
        if not response.getheader("Content-Type", "").startswith("text/event-stream"):
            raise unexpected("it is not a stream of events")
        yield None
        while raw := response.readline(LINE_BYTES_MAX + 1):
            if len(raw) > LINE_BYTES_MAX:
                raise unexpected(f"a line of the stream has more than {LINE_BYTES_MAX} bytes")
            told = lines.line(raw.rstrip(b"\r\n"))
            if told is not None:
                yield told
    except TimeoutError:
        return  # quiet for long
    except (OSError, http.client.HTTPException) as error:
        raise Lost("the connection was lost") from error
    finally:
        connection.close()
