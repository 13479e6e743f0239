"""No node is ever over its capacity: looked at after every batch of every node."""

from collections.abc import Collection
from dataclasses import replace

from icn.domain.mesh.papers import ATTEMPT_MAX
from icn.kernel.ids import Did
from icn.services.engine import Engine
from icn.sim.findings import Finding, expect

CHECKER = "within capacity"
KEPT_MS_MAX = 120_000
"""Longer than any promise may be kept: what expires later has leaked."""


def within_capacity(name: str, engine: Engine, running: Collection[tuple[bytes, int]]) -> None:
    """Promises and executions together are within places and memory, and every guest has its place.

    `running`: job and attempt of the guests that live.
    """
    capacity, mesh = engine.executor.capacity, engine.state.mesh
    if not (running or capacity.in_use or capacity.reserved or mesh.executions):
        return  # nothing is promised and nothing runs
    now = engine.clock.now()
    # Promises are kept when the machine has less than before, so what counts is what it ever has.
    usage = replace(capacity.usage(now), places=engine.terms.executor.capacity)
    if not usage.is_within:
        raise Finding(CHECKER, f"{name}: {usage}")
    # A held node gets its own past from its peers, and counts what is under way when it goes on with it.
    own = {key for key in mesh.executions if key[0] == engine.did and key not in mesh.pledges}
    if engine.has_resumed and own != set(capacity.in_use):
        raise Finding(CHECKER, f"{name}: {len(own)} executions, {len(capacity.in_use)} counted")
    if running:
        placed = {(job.data, attempt) for _, job, attempt in capacity.in_use}
        homeless = [key for key in running if key not in placed and key[1] <= ATTEMPT_MAX]  # beyond: a home confirms
        expect(not homeless, CHECKER, f"{name}: {len(homeless)} guests run without a place")
    if any(promise.until > now + KEPT_MS_MAX for promise in capacity.reserved.values()):
        raise Finding(CHECKER, f"{name}: places are promised for ever")


def nothing_is_owed(name: str, engine: Engine, put_back: Collection[Did]) -> None:
    """At the end every home has recorded every receipt, and its executors know; but for a store that was put back."""
    owed = engine.executor.offering.unsettled.by_home
    ended = engine.state.federation.has_ended  # a home that was removed owes for good
    homes = [home for home in owed if home not in put_back and not ended(home)]
    expect(engine.did in put_back or not homes, "nothing is owed", f"{name}: {len(homes)} homes owe it still")
