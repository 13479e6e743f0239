"""The application: one route table, served at `/` and at `/api/v1`, behind one edge."""

import json
from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from icn.http import (
    admin,
    backup,
    backups,
    blacklist,
    car,
    dag,
    events,
    federation,
    mana,
    mesh,
    network,
    restore,
    sync,
    system,
)
from icn.http.edge import Edge
from icn.http.openapi import document
from icn.http.operations import Call, Operation, Streams
from icn.http.ports import NodeApi, Telemetry
from icn.http.problems import response_to
from icn.http.settings import HttpSettings

OPERATIONS: tuple[Operation, ...] = (
    *system.OPERATIONS,
    *dag.OPERATIONS,
    *sync.OPERATIONS,
    *car.OPERATIONS,
    *mana.OPERATIONS,
    *mesh.OPERATIONS,
    *blacklist.OPERATIONS,
    *events.OPERATIONS,
    *network.OPERATIONS,
    *federation.OPERATIONS,
    *admin.OPERATIONS,
    *backups.OPERATIONS,
    *backup.OPERATIONS,
    *restore.OPERATIONS,
)


def create_app(node: NodeApi, settings: HttpSettings) -> FastAPI:
    """The API over a node."""
    app = _bare(node.facts.version)
    streams = Streams()
    for operation in OPERATIONS:
        # Plain routes: reading and checking are `operations`', so FastAPI's own would only be paid for twice.
        app.add_route(operation.path, _endpoint(operation, node, settings, streams), methods=[operation.method])
    described = json.dumps(document(OPERATIONS, node.facts.version)).encode()

    async def openapi(_request: Request) -> Response:
        return Response(described, media_type="application/json")

    app.add_route("/openapi.json", openapi, methods=["GET"], include_in_schema=False)
    app.add_middleware(Edge, node=node, settings=settings)
    return app


def create_metrics_app(metrics: Telemetry) -> FastAPI:
    """`/metrics` alone, for its own listener, where scrapers bear no key."""
    app = _bare("")

    async def exposition(_request: Request) -> Response:
        return Response(metrics.exposition(), media_type=system.METRICS_MEDIA_TYPE)

    app.add_route("/metrics", exposition, methods=["GET"], include_in_schema=False)
    return app


def _bare(version: str) -> FastAPI:
    return FastAPI(
        title="ICN node",
        version=version,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # What the node measures is in adapters.metrics; nothing else listens in because a library finds a variable set.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        exception_handlers={HTTPException: _refused_by_router},
    )


async def _refused_by_router(request: Request, error: Exception) -> Response:
    correlation: str = request.scope.get("state", {}).get("correlation", "")
    return response_to(error, correlation)


def _endpoint(
    operation: Operation, node: NodeApi, settings: HttpSettings, streams: Streams
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        request.scope["state"]["route"] = operation.path
        body = b"" if operation.streams else await request.body()
        return await operation.run(Call(node, settings, request, body, streams))

    return endpoint
