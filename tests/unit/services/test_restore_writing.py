"""What both ways of a restore write, and the batches that it is written in."""

from pathlib import Path

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.kernel.encoding import encode
from icn.kernel.ids import DAG_CBOR, RAW, Cid
from icn.services.commands import PutContent
from icn.stores import keyspace
from support.archives import back_up, fill_into, held, history, restore_into


@pytest.mark.parametrize("into", [fill_into, restore_into])
def test_what_content_links_to_is_known_afterwards(tmp_path: Path, into) -> None:
    world = history(1)
    linked = Cid.of(b"content 0 " * 50, RAW)
    data = encode({"linked": linked})
    world.done("a", PutContent(data, DAG_CBOR, pinned=True, lifetime_ms=None))
    back_up(world["a"].store, tmp_path / "a.tar.gz")
    target = MemoryStore()
    into(target, tmp_path / "a.tar.gz")
    assert held(target) == held(world["a"].store)
    entries = [key for key, _ in target.scan(keyspace.references(linked))]
    assert entries == [key for key, _ in world["a"].store.scan(keyspace.references(linked))] != []
