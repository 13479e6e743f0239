"""No node is ever over its capacity: looked at after every batch of every node."""

from collections.abc import Collection
from dataclasses import replace

from icn.domain.mesh.papers import ATTEMPT_MAX
from icn.kernel.ids import Did
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
    # Promises are kept when the machine has less than before, so what counts is what it ever has.
    usage = replace(capacity.usage(now), places=engine.terms.executor.capacity)
    expect(usage.is_within, CHECKER, f"{name}: {usage}")
    mesh = engine.state.mesh
    # A held node gets its own past from its peers, and counts what is under way when it goes on with it.
    own = {key for key in mesh.executions if key[0] == engine.did and key not in mesh.pledges}
    counted = not engine.has_resumed or own == set(capacity.in_use)
    expect(counted, CHECKER, f"{name}: {len(own)} executions, {len(capacity.in_use)} counted")
    placed = {(job.data, attempt) for _, job, attempt in capacity.in_use}
    homeless = [key for key in running if key not in placed and key[1] <= ATTEMPT_MAX]  # beyond: a home confirms
    expect(not homeless, CHECKER, f"{name}: {len(homeless)} guests run without a place")
    endless = [key for key, promise in capacity.reserved.items() if promise.until > now + KEPT_MS_MAX]
    expect(not endless, CHECKER, f"{name}: {len(endless)} places are promised for ever")


def nothing_is_owed(name: str, engine: Engine, put_back: Collection[Did]) -> None:
    """At the end every home has recorded every receipt, and its executors know; but for a store that was put back."""
    owed = engine.executor.offering.unsettled.by_home
    homes = [home for home in owed if home not in put_back]
    expect(engine.did in put_back or not homes, "nothing is owed", f"{name}: {len(homes)} homes owe it still")
