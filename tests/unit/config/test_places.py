"""How many jobs run at once and what they cost, by every spelling, as the engine gets it."""

import pytest

from icn.assemble import node_terms
from icn.domain.mesh.pricing import Rates
from icn.kernel.limits import GIB, MIB


@pytest.mark.parametrize(
    ("file", "env"),
    [
        ("[performance]\nmax_concurrent_jobs = 7", None),
        ("[mesh]\nmax_concurrent_jobs = 7", None),
        ("", {"ICN_PERFORMANCE_MAX_CONCURRENT_JOBS": "7"}),
        ("", {"ICN_MESH_MAX_CONCURRENT_JOBS": "7"}),
        ("[mesh]\nmax_concurrent_jobs = 3", {"ICN_PERFORMANCE_MAX_CONCURRENT_JOBS": "7"}),
    ],
)
def test_the_places_are_those_configured(loading, file, env):
    assert node_terms(loading(file, env).settings).executor.capacity == 7


def test_memory_prices_and_patience_reach_the_executor(loading):
    file = """
    [performance]
    jobs_memory_mib = 512
    [mesh]
    price_minimum = 2
    price_per_million_fuel = 3
    price_per_gib_memory = 5
    price_per_gib_transferred = 7
    unsettled_receipts_max = 4
    unsettled_after_secs = 60
    home_absence_secs = 90
    """
    terms = node_terms(loading(file).settings)
    assert terms.executor.memory_bytes == 512 * MIB
    assert terms.executor.rates == Rates(2, 3, 5, 7)
    assert (terms.executor.unsettled_max, terms.executor.unsettled_after) == (4, 60_000)
    assert terms.home_absence == 90_000


def test_by_default_memory_binds_only_who_asks_for_much(loading):
    assert node_terms(loading().settings).executor.memory_bytes == 4 * GIB
