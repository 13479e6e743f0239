"""The node's side of a cluster: places follow machines, executions end once, and a bridge that is gone is replaced."""

import queue
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from icn.adapters.cluster import bounds, messages
from icn.adapters.cluster.bridge_process import BridgeProcess, environment
from icn.adapters.cluster.messages import (
    Begin,
    Ended,
    Hello,
    Looked,
    MachineDown,
    MachineRefused,
    MachineUp,
    Message,
    Reached,
    Stop,
    ToNode,
    Unreachable,
)
from icn.adapters.cluster.pool import ClusterPool, ClusterUnreachable
from icn.adapters.cluster.settings import ClusterSettings, TlsFiles
from icn.adapters.wasm import outcomes
from icn.adapters.wasm.attendant import IsolationMissing
from icn.adapters.wasm.pool import NoWorker
from icn.adapters.wasm.refusals import SandboxFull
from icn.adapters.wasm.settings import SandboxSettings
from icn.domain.mesh.execution import ExecutionOutcome, ExitKind
from support.wasm_pool import Driver, job, request

WAIT_S = 10
SETTINGS = ClusterSettings(
    host="10.0.0.1",
    port=6379,
    token="secret",
    tls=TlsFiles(certificate="/c", key="/k", authority="/a"),
    workers_per_machine=0,
    cache_path="",
    owner="did",
    sandbox=SandboxSettings(),
)
UP = MachineUp("a", "mill", 2, ("rlimits", "seccomp"))


class Bridge:
    """The other end of the line: a test says what the bridge says."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._channel.settimeout(WAIT_S)

    def say(self, *said: ToNode) -> None:
        for message in said:
            self._channel.sendall(messages.framed(message))

    def hear(self) -> Message:
        size, number = messages.header(self._exactly(messages.HEADER_BYTES))
        return messages.message_of(number, self._exactly(size))

    def hears_nothing_more(self) -> bool:
        return self._channel.recv(1) == b""

    def die(self) -> None:
        self._channel.close()

    def _exactly(self, size: int) -> bytes:
        return self._channel.recv(size, socket.MSG_WAITALL)


class Bridges:
    """Every bridge that the pool starts."""

    def __init__(self) -> None:
        self._started: queue.SimpleQueue[Bridge] = queue.SimpleQueue()
        self.made: list[Bridge] = []
        self.pool = ClusterPool(SETTINGS, self._start)

    def next(self) -> Bridge:
        """The next one, which has been greeted."""
        bridge = self._started.get(timeout=WAIT_S)
        assert isinstance(bridge.hear(), Hello)
        return bridge

    def connected(self, *said: ToNode) -> Bridge:
        """One that has reached the cluster, and says this of it."""
        bridge = self.next()
        bridge.say(Reached(), *said, Looked(()))
        return bridge

    def _start(self, _settings: ClusterSettings) -> BridgeProcess:
        ours, theirs = socket.socketpair()
        self.made.append(Bridge(theirs))
        self._started.put(self.made[-1])
        return BridgeProcess(None, ours)


@pytest.fixture
def bridges(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridges]:
    monkeypatch.setattr(bounds, "BRIDGE_RETRY_S", 0.01)
    monkeypatch.setattr(bounds, "LEASE_S", 0.2)
    monkeypatch.setattr(bounds, "LEASE_GRACE_S", 0.0)
    made = Bridges()
    yield made
    closing = threading.Thread(target=made.pool.close)
    closing.start()
    for bridge in made.made:
        bridge.die()
    closing.join(WAIT_S)
    assert not closing.is_alive()


def ended(number: int, kind: ExitKind = ExitKind.COMPLETED, memory: int = 0) -> Ended:
    return Ended(number, replace(outcomes.without_guest(kind, "p", ""), memory_growth_denied=memory))


def outcome(outcomes_: "queue.SimpleQueue[ExecutionOutcome]") -> ExecutionOutcome:
    return outcomes_.get(timeout=WAIT_S)


def test_places_follow_the_machines(bridges: Bridges) -> None:
    assert bridges.pool.capacity() == 0
    bridge = bridges.connected(UP, MachineUp("b", "barn", 3, ("rlimits",)))
    assert bridges.pool.isolation() == {"rlimits"}
    assert (bridges.pool.capacity(), bridges.pool.free()) == (5, 5)
    begun = Driver(bridges.pool).begin(request(None), b"")
    bridge.say(MachineDown("b", "barn", "unplugged"), ended(1))
    assert outcome(begun).exit is ExitKind.COMPLETED
    assert (bridges.pool.capacity(), bridges.pool.free()) == (2, 2)


def test_when_there_are_fewer_places_than_executions_none_is_ended_and_none_is_taken(bridges: Bridges) -> None:
    bridge = bridges.connected(UP, MachineUp("b", "barn", 1, ("seccomp",)))
    bridges.pool.isolation()
    driver = Driver(bridges.pool)
    begun = [driver.begin(request(None, number), b"") for number in (1, 2, 3)]
    bridge.say(MachineDown("a", "mill", "unplugged"), ended(1))
    assert outcome(begun[0]).exit is ExitKind.COMPLETED
    assert (bridges.pool.capacity(), bridges.pool.free()) == (1, 0)
    with pytest.raises(SandboxFull):
        driver.begin(request(None, 4), b"")
    bridge.say(ended(2), ended(3))
    assert [outcome(one).exit for one in begun[1:]] == [ExitKind.COMPLETED] * 2
    assert bridges.pool.free() == 1


def test_what_a_bridge_had_is_lost_when_it_is_gone_and_another_takes_its_place(bridges: Bridges) -> None:
    first = bridges.connected(UP)
    bridges.pool.isolation()
    begun = Driver(bridges.pool).begin(request(None), b"")
    assert isinstance(first.hear(), Begin)
    died = time.monotonic()
    first.die()
    assert outcome(begun).exit is ExitKind.WORKER_LOST
    assert time.monotonic() - died >= bounds.LEASE_S, "its guest may have computed until then"
    assert bridges.pool.capacity() == 0
    second = bridges.connected(UP)
    second.say(ended(99))  # what it was not given: it is not believed, and replaced
    assert isinstance(bridges.next(), Bridge)


def test_growth_that_was_refused_is_counted_wherever_it_was(bridges: Bridges) -> None:
    bridge = bridges.connected(UP)
    bridges.pool.isolation()
    begun = Driver(bridges.pool).begin(request(None), b"")
    bridge.say(ended(1, memory=7))
    outcome(begun)
    assert bridges.pool.denials() == (7, 0)


def test_a_cancelled_execution_is_stopped_and_its_outcome_says_so_whatever_comes(bridges: Bridges) -> None:
    bridge = bridges.connected(UP)
    bridges.pool.isolation()
    begun = Driver(bridges.pool).begin(request(None), b"")
    assert bridges.pool.cancel(job(1), 1)
    assert bridges.pool.cancel(job(1), 1)
    assert [type(bridge.hear()) for _ in range(2)] == [Begin, Stop]
    bridge.say(ended(1))
    assert outcome(begun).exit is ExitKind.CANCELLED
    assert not bridges.pool.cancel(job(1), 1)


def test_closing_hangs_up_and_answers_what_is_open(bridges: Bridges) -> None:
    bridge = bridges.connected(UP)
    bridges.pool.isolation()
    begun = Driver(bridges.pool).begin(request(None), b"")
    assert isinstance(bridge.hear(), Begin)
    closing = threading.Thread(target=bridges.pool.close)
    closing.start()
    assert bridge.hears_nothing_more()
    bridge.die()
    closing.join(WAIT_S)
    assert outcome(begun).exit is ExitKind.CANCELLED
    assert len(bridges.made) == 1


@pytest.mark.parametrize("how", ["said", "silent"])
def test_a_cluster_that_is_not_reached_is_named_with_what_may_be_wrong(bridges: Bridges, how: str) -> None:
    bridge = bridges.next()
    if how == "said":
        bridge.say(Unreachable("ConnectionError: no"))
    else:
        bridge.die()
    with pytest.raises(ClusterUnreachable, match=r"10\.0\.0\.1:6379 cannot be reached: .*with this token, with TLS"):
        bridges.pool.isolation()


def test_machines_that_are_sealed_too_little_are_named(bridges: Bridges) -> None:
    bridges.connected(MachineRefused("a", "mill", "this system does not …", ("seccomp",)))
    with pytest.raises(IsolationMissing, match=r"seccomp \(on mill\)"):
        bridges.pool.isolation()
    assert bridges.pool.capacity() == 0


def test_machines_that_cannot_take_jobs_for_other_reasons_are_named_too(bridges: Bridges) -> None:
    lacking = MachineRefused("b", "barn", "this system does not …", ("seccomp",))
    bridges.connected(MachineRefused("a", "mill", "it has icn 0.0.9", ()), lacking)
    with pytest.raises(NoWorker, match=r"mill: it has icn 0\.0\.9; barn: this system"):
        bridges.pool.isolation()


def test_a_machine_whose_runner_does_not_start_is_named_and_nobody_waits_for_ever(bridges: Bridges) -> None:
    bridge = bridges.next()
    bridge.say(Reached(), MachineRefused("a", "mill", "this system does not …", ("seccomp",)), Looked(("barn",)))
    with pytest.raises(NoWorker, match="barn: its runner has not started"):
        bridges.pool.isolation()


def test_closing_before_the_cluster_is_reached_does_not_wait_for_it(bridges: Bridges) -> None:
    bridge = bridges.next()
    closing = threading.Thread(target=bridges.pool.close)
    closing.start()
    assert bridge.hears_nothing_more()
    closing.join(bounds.CLOSE_S / 2)
    assert not closing.is_alive()


def test_a_bridge_is_told_how_the_cluster_is_secured_and_nothing_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "elsewhere")
    monkeypatch.setenv("ICN_KEY_PASSPHRASE", "a secret")
    made = environment(SETTINGS)
    assert {name: value for name, value in made.items() if name != "PATH"} == {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "secret",
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": "/c",
        "RAY_TLS_SERVER_KEY": "/k",
        "RAY_TLS_CA_CERT": "/a",
    }
    assert environment(replace(SETTINGS, token=None, tls=None)).keys() == {
        "PATH",
        "RAY_USAGE_STATS_ENABLED",
        "RAY_AUTH_MODE",
    }
    assert "secret" not in repr(SETTINGS)
