"""What the foreman needs from whatever connects the machines. `ray_cluster` is it; tests have one of their own."""

from dataclasses import dataclass
from typing import Protocol

from icn.kernel.errors import Fault


class RunnerLost(Fault):
    """A runner cannot be asked any more. Its process may live still."""

    code = "cluster.runner_lost"


class RunnerDied(RunnerLost):
    """Its process has ended, as the machine that it was on says."""

    code = "cluster.runner_died"


class ClusterSilent(Fault):
    """The cluster does not say which machines it has."""

    code = "cluster.silent"
    retryable = True


@dataclass(frozen=True, slots=True)
class Member:
    """A machine of the cluster that has processors to give."""

    machine: str
    """Its id; another one after a restart."""
    name: str
    """For a person: host name and address."""
    processors: int
    memory_bytes: int


class RunnerCalls(Protocol):
    """A runner, from afar: see `runner.Runner`. Each call raises `RunnerLost` or `RunnerDied`."""

    async def begin(self) -> bytes:
        """Wait until it is there, and start its sandbox."""
        ...

    async def execute(self, number: int, request: bytes, module: bytes, given: bytes) -> bytes:
        """Once: never tried again."""
        ...

    async def cancel(self, number: int) -> None:
        """See `Runner.cancel`."""
        ...

    async def ping(self, oldest: int) -> None:
        """See `Runner.ping`."""
        ...

    async def end(self) -> None:
        """See `Runner.end`."""
        ...

    def kill(self) -> None:
        """Have its process ended, if anybody there can be told."""
        ...


class Cluster(Protocol):
    """The machines."""

    async def members(self) -> list[Member]:
        """Those that are there now. Raises `ClusterSilent`."""
        ...

    def hire(self, member: Member, places: int) -> RunnerCalls:
        """A runner on this machine and no other, never started again by anybody else."""
        ...
