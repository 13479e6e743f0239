"""A scan reads every block once, in slices, goes on where it was, and finds every block that is not its name."""

from icn.adapters.storage.memory import MemoryStore
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Instant
from icn.services import scan
from icn.services.scan import START, ScanPosition, load_position, write_position
from icn.stores import keyspace
from icn.stores.kv import Batch

DATA = [b"%d" % number * 100 for number in range(10)]
SIZE = sum(len(data) for data in DATA)


def store(*damaged: int) -> MemoryStore:
    made, batch = MemoryStore(), Batch()
    for number, data in enumerate(DATA):
        batch.put(keyspace.block(Cid.of(data, RAW)), b"x" * len(data) if number in damaged else data)
    made.commit(batch, made.claim())
    return made


def whole(reader: MemoryStore, bytes_max: int) -> tuple[ScanPosition, list[Cid], int]:
    position, found, slices = START, [], 0
    while True:
        part = scan.scan(reader, position, bytes_max=bytes_max, now=Instant(5 + slices))
        position, slices = part.position, slices + 1
        found += part.damaged
        if position.begun_at is None:
            return position, found, slices


def test_every_block_is_read_once_however_small_the_slices() -> None:
    for bytes_max in (1, 250, 10**6):
        position, found, slices = whole(store(), bytes_max)
        assert (position.last_blocks, position.last_size, position.last_damaged, found) == (10, SIZE, 0, [])
        assert position.finished_at == 5 + slices - 1
    assert slices == 1


def test_what_is_damaged_is_found() -> None:
    position, found, _ = whole(store(3, 7), 250)
    assert sorted(found) == sorted(Cid.of(DATA[number], RAW) for number in (3, 7))
    assert position.last_damaged == 2


def test_a_position_is_gone_on_from_after_it_was_stored() -> None:
    made = store(0, 9)
    first = scan.scan(made, load_position(made), bytes_max=500, now=Instant(1))
    batch = Batch()
    batch.put(scan.SCAN_ROW, write_position(first.position))
    made.commit(batch, made.claim())
    position = load_position(made)
    assert position == first.position
    rest = scan.scan(made, position, bytes_max=10**6, now=Instant(2))
    assert (rest.position.last_blocks, rest.position.last_damaged) == (10, 2)
    assert len({*first.damaged, *rest.damaged}) == 2


def test_a_slice_is_bounded_in_blocks_however_small_they_are(monkeypatch) -> None:
    monkeypatch.setattr(scan, "SLICE_BLOCKS_MAX", 3)
    assert whole(store(), 10**6)[2] == 4
