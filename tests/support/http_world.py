"""What tests of the HTTP surface begin with: a node of a federation of its own, and a client that bears its key."""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from icn.http.app import create_app
from icn.http.settings import HttpSettings
from support.asgi_client import Client
from support.http_node import HttpNode

KEY = "operator-key"
SETTINGS = HttpSettings(hashlib.sha256(KEY.encode()).digest(), heartbeat_seconds=1)


@dataclass
class World:
    node: HttpNode
    client: Client
    stranger: Client
    """Bears no key."""

    @property
    def did(self) -> str:
        return str(self.node.did)

    async def open_account(self, owner: str) -> None:
        answer = await self.client.post("/account/open", {"did": owner})
        assert answer.status == 201, answer.body

    async def job(self, data: bytes = b"hi", **extra: Any) -> str:
        """A job with the built-in, which the test's node completes at once."""
        body = {"input_base64": base64.b64encode(data).decode(), "max_price": 200, **extra}
        answer = await self.client.post("/mesh/submit", body)
        assert answer.status == 202, answer.body
        job_id: str = answer.json["job_id"]
        return job_id


def world(settings: HttpSettings = SETTINGS, **node: Any) -> World:
    made = HttpNode(**node)
    made.found()
    app = create_app(made, settings)
    return World(made, Client(app, KEY), Client(app))


def run(test: Callable[[World], Coroutine[Any, Any, None]], **node: Any) -> None:
    """Run a conversation with a fresh world."""
    asyncio.run(test(world(**node)))
