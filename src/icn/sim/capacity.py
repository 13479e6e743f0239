"""No node is ever over its capacity: looked at after every batch of every node."""

from collections.abc import Collection

from icn.services.engine import Engine
from icn.sim.findings import expect

CHECKER = "within capacity"
KEPT_MS_MAX = 120_000
"""Longer than any promise may be kept: what expires later has leaked."""


def within_capacity(name: str, engine: Engine, running: Collection[tuple[bytes, int]]) -> None:
    """Promises and executions together are within places and memory, and every guest has its place.

    `running`: job and attempt of the guests that live.
    """
    capacity, now = engine.executor.capacity, engine.clock.now()
    usage = capacity.usage(now)
    expect(usage.is_within, CHECKER, f"{name}: {usage}")
    mesh = engine.state.mesh
    own = {key for key in mesh.executions if key[0] == engine.did and key not in mesh.pledges}
    expect(own == set(capacity.in_use), CHECKER, f"{name}: {len(own)} executions, {len(capacity.in_use)} counted")
    placed = {(job.data, attempt) for _, job, attempt in capacity.in_use}
    homeless = [key for key in running if key not in placed]
    expect(not homeless, CHECKER, f"{name}: {len(homeless)} guests run without a place")
    endless = [key for key, promise in capacity.reserved.items() if promise.until > now + KEPT_MS_MAX]
    expect(not endless, CHECKER, f"{name}: {len(endless)} places are promised for ever")
