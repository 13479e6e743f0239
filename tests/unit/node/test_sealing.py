import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from icn.adapters.cluster.pool import ClusterUnreachable
from icn.adapters.wasm import hardening
from icn.adapters.wasm.settings import Isolation, SandboxSettings
from icn.kernel.errors import ConfigError
from icn.node.sealing import require_isolation
from support.wasm_pool import pool

pytestmark = pytest.mark.slow

ONE = SandboxSettings(workers=1)


def test_a_sandbox_that_has_less_than_was_asked_for_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardening, "ALL_PARTS", (*hardening.ALL_PARTS, "what no kernel gives"))
    with pool(tmp_path, replace(ONE, isolation=Isolation.FULL)) as executor:
        with pytest.raises(ConfigError, match="what no kernel gives"):
            asyncio.run(require_isolation(executor, "full"))
        assert executor.free() == 0


def test_a_worker_that_could_not_be_started_yet_does_not_stop_the_node(tmp_path: Path) -> None:
    with pool(tmp_path, replace(ONE, start_ms=0)) as executor:
        asyncio.run(require_isolation(executor, "seccomp"))
        assert executor.free() == 1


class Unreachable:
    """An executor whose machines cannot be reached."""

    is_closed = False

    def isolation(self) -> frozenset[str]:
        raise ClusterUnreachable("the cluster at 10.0.0.1:6379 cannot be reached")

    def close(self) -> None:
        self.is_closed = True


def test_a_cluster_that_is_not_reached_stops_the_start_and_leaves_nothing_behind() -> None:
    executor = Unreachable()
    with pytest.raises(ClusterUnreachable):
        asyncio.run(require_isolation(executor, "seccomp"))  # type: ignore[arg-type]  # all of the port that is used
    assert executor.is_closed
