import pytest
from structlog.testing import capture_logs

from icn.adapters.storage.memory import MemoryStore
from icn.node.upgrading import tell_of_upgrade
from icn.stores import keyspace
from icn.stores.kv import StoreNewer
from icn.stores.schema import FORMAT_VERSION
from support.stores import fill


def said_of(version):
    store = MemoryStore()
    if version is not None:
        fill(store, {keyspace.about("format"): str(version).encode()})
    with capture_logs() as said:
        tell_of_upgrade(store, "/data/dag.sqlite")
    return said


def test_an_older_store_is_announced_with_the_way_back():
    (line,) = said_of(1)
    assert (line["log_level"], line["was"], line["becomes"], line["place"]) == (
        "warning",
        1,
        FORMAT_VERSION,
        "/data/dag.sqlite",
    )
    assert "copy of the store that was made before" in line["detail"]


@pytest.mark.parametrize("version", [None, FORMAT_VERSION])
def test_nothing_is_said_of_a_store_that_stays_as_it_is(version):
    assert not said_of(version)


def test_a_newer_store_is_refused():
    with pytest.raises(StoreNewer):
        said_of(FORMAT_VERSION + 1)
