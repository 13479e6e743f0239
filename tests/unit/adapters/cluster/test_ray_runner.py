"""A machine whose Ray lets strangers in takes no jobs."""

import asyncio
import importlib.util
from dataclasses import replace

import pytest

from icn.adapters.cluster import messages
from icn.adapters.cluster.messages import RunnerState
from support.cluster_machines import TERMS
from support.ray_machines import ABSENT


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason=ABSENT)
def test_where_a_token_is_required_ray_must_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from icn.adapters.cluster.ray_runner import RayRunner

    def answer(*, required: bool) -> str:
        terms = messages.encode(replace(TERMS, token_required=required))
        return messages.decode(RunnerState, asyncio.run(RayRunner().begin(terms, 1))).refusal

    assert "without token authentication" in answer(required=True)
    assert "the node icn v (p)" in answer(required=False), "the next reason"
