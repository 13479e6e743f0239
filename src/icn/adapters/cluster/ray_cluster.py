"""Ray as the foreman sees it: members, and one actor on each. The only modules that know Ray are this and `ray_runner`.

An actor is placed on its machine by node affinity, or nowhere. It takes as many of the machine's processors, by Ray's
count, as it has workers, so that what else runs on the cluster is told of them. Neither an actor nor a call to one is
ever tried again by Ray. What is large goes into Ray's object store once, and from there once to each machine.
"""

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Awaitable
from typing import Any, cast

import ray
from ray import exceptions as faults
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from icn.adapters.cluster import bounds, messages
from icn.adapters.cluster.messages import RunnerTerms
from icn.adapters.cluster.ports import ClusterSilent, Member, RunnerDied, RunnerLost
from icn.adapters.cluster.ray_runner import RayRunner

_CALLS_BESIDE = 16
"""Calls that a runner takes beside one for each of its workers: pings, cancellations."""


class _Objects:
    """What was put into the object store and may be needed again, by content."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    async def argument(self, data: bytes) -> Any:
        """`data`, or a reference to it."""
        if len(data) <= bounds.BY_REFERENCE_BYTES:
            return data
        name = hashlib.sha256(data).digest()
        if name not in self._known:
            reference = await asyncio.to_thread(ray.put, data)
            if name not in self._known:  # another may have put the same meanwhile
                self._known[name] = reference, len(data)
                self._bytes += len(data)
        self._known.move_to_end(name)
        reference = self._known[name][0]
        while self._bytes > bounds.OBJECTS_BYTES_MAX:
            _, (_, size) = self._known.popitem(last=False)  # a call under way keeps its own reference
            self._bytes -= size
        return reference


class RayCluster:
    """Satisfies `ports.Cluster`. Ray is connected."""

    def __init__(self, terms: RunnerTerms) -> None:
        self._terms = messages.encode(terms)
        self._objects = _Objects()
        self._asking: asyncio.Future[list[dict[str, Any]]] | None = None
        """While the head has not answered; it is not asked a second time meanwhile, which would take threads."""

    async def members(self) -> list[Member]:
        """See `Cluster.members`: machines that have a processor to give, by Ray's count."""
        if self._asking is None:
            self._asking = asyncio.ensure_future(asyncio.to_thread(ray.nodes))
        try:
            async with asyncio.timeout(bounds.HEAD_ANSWERS_S):
                nodes = await asyncio.shield(self._asking)
        except TimeoutError as error:
            raise ClusterSilent("its head does not answer") from error
        except (faults.RayError, ConnectionError, RuntimeError) as error:
            self._asking = None
            raise ClusterSilent(str(error)) from error
        self._asking = None
        return [_member(node) for node in nodes if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]

    def hire(self, member: Member, places: int) -> "RayCalls":
        """See `Cluster.hire`."""
        actor = (
            ray.remote(RayRunner)
            .options(
                num_cpus=min(places, member.processors),
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=places + _CALLS_BESIDE,
                scheduling_strategy=NodeAffinitySchedulingStrategy(member.machine, soft=False),
            )
            .remote()
        )
        return RayCalls(actor, self._terms, places, self._objects)


class RayCalls:
    """Satisfies `ports.RunnerCalls`."""

    def __init__(self, actor: Any, terms: bytes, places: int, objects: _Objects) -> None:
        self._actor = actor
        self._terms = terms
        self._places = places
        self._objects = objects

    async def begin(self) -> bytes:
        """See `RunnerCalls.begin`."""
        return await _answer(self._actor.begin.remote(self._terms, self._places))

    async def execute(self, number: int, request: bytes, module: bytes, given: bytes) -> bytes:
        """See `RunnerCalls.execute`."""
        try:
            arguments = [await self._objects.argument(data) for data in (module, given)]
        except faults.RayError as error:
            raise RunnerLost(f"the object store takes nothing: {_reason(error)}") from error
        return await _answer(self._actor.execute.remote(number, request, *arguments))

    async def cancel(self, number: int) -> None:
        """See `RunnerCalls.cancel`."""
        await _answer(self._actor.cancel.remote(number))

    async def ping(self, oldest: int) -> None:
        """See `RunnerCalls.ping`."""
        await _answer(self._actor.ping.remote(oldest))

    async def end(self) -> None:
        """See `RunnerCalls.end`."""
        await _answer(self._actor.end.remote())

    def kill(self) -> None:
        """See `RunnerCalls.kill`. On a thread: it may wait for the head."""
        threading.Thread(target=ray.kill, args=(self._actor,), name="kill", daemon=True).start()


async def _answer(call: Awaitable[Any]) -> bytes:
    try:
        return cast("bytes", await call)
    except faults.ActorDiedError as error:
        raise RunnerDied(_reason(error)) from error
    except faults.RayError as error:
        raise RunnerLost(_reason(error)) from error


def _member(node: dict[str, Any]) -> Member:
    resources = node["Resources"]
    return Member(
        machine=node["NodeID"],
        name=f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})",
        processors=int(resources["CPU"]),
        memory_bytes=int(resources.get("memory", 0)),
    )


def _reason(error: Exception) -> str:
    """The last line that says something: of an error on the other side it is the error, of others there is one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[: bounds.WHY_CHARS_MAX]
