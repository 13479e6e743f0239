"""A cluster loses what it can lose, while guests compute: what is reported lost has ended, and nothing runs twice."""

import os
import queue
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from node_process import wait_until

from icn.adapters.cluster import bounds
from icn.adapters.cluster.pool import ClusterPool, ClusterUnreachable
from icn.adapters.wasm.settings import Isolation, SandboxSettings
from icn.domain.mesh.execution import ExecutionOutcome, ExitKind
from support.ray_machines import RayMachine, RayMachines, ray_machines
from support.resources import command_of, descendants_of, handle, has_ended, processor_ticks
from support.wasm_guests import COPY, ENDLESS, HELLO, compiled
from support.wasm_pool import FOR_EVER, LIMITS, MIB, Driver, request

NEVER_MS = 3_600_000
SETTLING_S = 90.0
"""For a machine to join, or to be given up."""
WITHOUT_NAMESPACES = 'for kind in mnt user net; do echo 0 > /proc/sys/user/max_${kind}_namespaces; done && exec "$@"'

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def machines() -> Iterator[RayMachines]:
    with ray_machines() as made:
        made.start_head()
        yield made


@pytest.fixture
def executor(machines: RayMachines) -> Iterator[ClusterPool]:
    """Both machines take jobs, one at a time each."""
    if machines.other.process is None:
        machines.join()
    with machines.pool() as found:
        found.isolation()
        has_places(found, 2)
        yield found


def has_places(executor: ClusterPool, count: int) -> None:
    wait_until(f"{count} places", lambda: executor.capacity() == count, SETTLING_S)


def computing_on(machine: RayMachine) -> int:
    """The worker there whose guest computes."""

    def look() -> int | None:
        return next((pid for pid in sorted(machine.guests()) if processor_ticks(pid) > 100), None)

    return wait_until(f"a guest on {machine.name}", look, SETTLING_S)  # type: ignore[no-any-return] # not on mypy's path


def begun_on_both(executor: ClusterPool) -> list["queue.SimpleQueue[ExecutionOutcome]"]:
    """An endless guest on each machine."""
    module = compiled(ENDLESS)
    limits = replace(LIMITS, fuel=FOR_EVER, wall_ms=NEVER_MS)
    return [Driver(executor).begin(request(module, number, limits=limits), module) for number in (1, 2)]


def the_lost_one(begun: list["queue.SimpleQueue[ExecutionOutcome]"], within_s: float = SETTLING_S) -> ExecutionOutcome:
    """The outcome of that which ended; the other goes on."""
    wait_until("an outcome", lambda: any(not one.empty() for one in begun), within_s)
    (lost,) = [one for one in begun if not one.empty()]
    (_,) = [one for one in begun if one.empty()]
    return lost.get()


def test_a_runner_killed_has_lost_its_job_at_once_with_its_guest_and_is_replaced(
    machines: RayMachines, executor: ClusterPool
) -> None:
    begun = begun_on_both(executor)
    computing_on(machines.head)
    with handle(computing_on(machines.other)) as guest:
        os.kill(machines.other.runner(), signal.SIGKILL)
        lost = the_lost_one(begun, within_s=bounds.LEASE_S / 2)
        assert has_ended(guest, within_s=0.5)
    assert lost.exit is ExitKind.WORKER_LOST
    assert machines.other.name in lost.detail
    assert not lost.exit.guest_fault
    has_places(executor, 2)
    assert executor.free() == 1
    assert Driver(executor).outcome(HELLO, number=9).output == b"hello\n"


def test_what_is_large_goes_to_both_machines_and_back(executor: ClusterPool) -> None:
    limits = replace(LIMITS, fuel=10**11, memory_bytes=32 * MIB, output_bytes=8 * MIB)
    given = os.urandom(8 * MIB)
    module = compiled(COPY)
    asked = [replace(request(module, number, limits=limits), input=given) for number in (1, 2)]
    begun = [Driver(executor).begin(one, module) for one in asked]
    ended = [one.get(timeout=SETTLING_S) for one in begun]
    assert [one.output == given for one in ended] == [True, True], [(one.exit, one.detail) for one in ended]
    assert ended[0].fuel_used == ended[1].fuel_used


def test_a_machine_whose_ray_is_killed_is_lost_when_its_lease_is_over_and_may_come_back(
    machines: RayMachines, executor: ClusterPool
) -> None:
    begun = begun_on_both(executor)
    computing_on(machines.head)
    with handle(computing_on(machines.other)) as guest:
        os.kill(machines.other.raylet(), signal.SIGKILL)
        lost = the_lost_one(begun)
        assert has_ended(guest, within_s=0)
    assert lost.exit is ExitKind.WORKER_LOST
    assert executor.capacity() == 1
    machines.other.kill()
    machines.join()
    has_places(executor, 2)


def test_a_guest_on_a_machine_that_is_cut_off_has_ended_when_its_job_is_reported_lost(
    machines: RayMachines, executor: ClusterPool
) -> None:
    begun = begun_on_both(executor)
    computing_on(machines.head)
    with handle(computing_on(machines.other)) as guest:
        cut = time.monotonic()
        machines.other.machine.unplug()
        try:
            assert not has_ended(guest, within_s=1.0), "it computes where nobody reaches it"
            lost = the_lost_one(begun)
            took = time.monotonic() - cut
            assert has_ended(guest, within_s=0)
        finally:
            machines.other.machine.plug()
            machines.other.kill()
    assert lost.exit is ExitKind.WORKER_LOST
    assert bounds.LEASE_S - bounds.PING_EVERY_S <= took <= bounds.LEASE_S + bounds.LEASE_GRACE_S + 5
    assert executor.capacity() == 1


def test_a_machine_that_leaves_takes_its_places_with_it_and_nothing_else(
    machines: RayMachines, executor: ClusterPool
) -> None:
    machines.other.leave()
    has_places(executor, 1)
    assert Driver(executor).outcome(HELLO).output == b"hello\n"
    machines.join()
    has_places(executor, 2)


def test_without_its_bridge_all_is_lost_when_the_leases_are_over_and_the_cluster_is_reached_again(
    machines: RayMachines, executor: ClusterPool
) -> None:
    begun = begun_on_both(executor)
    guests = [computing_on(machines.head), computing_on(machines.other)]
    with handle(guests[0]) as one, handle(guests[1]) as other:
        (bridge,) = [pid for pid in descendants_of(os.getpid()) if "icn.adapters.cluster.bridge" in command_of(pid)]
        os.kill(bridge, signal.SIGKILL)
        ended = [outcome.get(timeout=SETTLING_S) for outcome in begun]
        assert has_ended(one, within_s=0)
        assert has_ended(other, within_s=0)
    assert [outcome.exit for outcome in ended] == [ExitKind.WORKER_LOST] * 2
    has_places(executor, 2)
    assert Driver(executor).outcome(HELLO).output == b"hello\n"


def test_a_machine_that_cannot_seal_its_workers_is_refused_by_name(machines: RayMachines) -> None:
    machines.other.kill()
    machines.join(inside=("unshare", "-Ur", "sh", "-c", WITHOUT_NAMESPACES, "sh"))
    try:
        with machines.pool(machines.settings(sandbox=SandboxSettings(isolation=Isolation.FULL))) as executor:
            assert "empty_root" in executor.isolation()
            # One that a test killed a moment ago may be counted among the members still.
            wait_until("it is named", lambda: any(one.lacks for one in executor.refused()), SETTLING_S)
            (lacking,) = [machine for machine in executor.refused() if machine.lacks]
            assert lacking.name == machines.other.name
            assert "empty_root" in lacking.why
            assert executor.capacity() == 1
    finally:
        machines.other.kill()


@pytest.mark.parametrize("wrong", ["token", "no TLS"])
def test_who_is_not_secured_as_the_cluster_is_does_not_reach_it(machines: RayMachines, wrong: str) -> None:
    changed = {"token": "0" * 64} if wrong == "token" else {"tls": None}
    with machines.pool(machines.settings(**changed)) as executor:
        with pytest.raises(ClusterUnreachable, match=r"10\.77\.0\.1:6379 cannot be reached: .*is there a Ray"):
            executor.isolation()
        assert executor.capacity() == 0
