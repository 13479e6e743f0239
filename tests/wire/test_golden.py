"""Bytes that are stored or sent keep their meaning: each has a golden file, and is written and read as it says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from icn.domain.dag.block import parse_block
from icn.domain.federation.invitation import open_invitation
from icn.domain.mesh import papers
from icn.domain.records import EVENT_NAMES, read_record, write_record
from icn.kernel.encoding import decode, encode
from icn.protocol.codec import decode_message, encode_message
from icn.protocol.messages import CONTENT_PROTOCOL, FEED_PROTOCOL, MESH_PROTOCOL, NUMBERS

FOLDER = Path(__file__).parent


def _values() -> ModuleType:
    """The script beside this file, which is no package."""
    spec = importlib.util.spec_from_file_location("golden_values", FOLDER / "golden_values.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRITTEN: dict[str, bytes] = _values().goldens()
STORED = {path.stem: bytes.fromhex(path.read_text()) for path in sorted((FOLDER / "golden").glob("*.hex"))}
HOW = "python tests/wire/golden_values.py --write-new"


def test_everything_has_a_golden_file() -> None:
    names = [f"event.{name}" for name in EVENT_NAMES.values()]
    names += [f"message.{number}.{kind.__name__}" for kind, number in NUMBERS.items()]
    assert not [name for name in [*names, *WRITTEN] if name not in STORED], HOW


def test_no_golden_file_is_of_what_is_no_more() -> None:
    assert not [name for name in STORED if name not in WRITTEN]


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_what_is_written_is_as_it_was(name: str) -> None:
    assert WRITTEN[name].hex() == STORED[name].hex(), "a format changed: it needs a new name, number or version"


@pytest.mark.parametrize("name", [name for name in sorted(STORED) if name.startswith("event.")])
def test_records_are_read_as_they_were(name: str) -> None:
    record = read_record(decode(STORED[name]))
    assert record.name == name.removeprefix("event.")
    assert encode(write_record(record)) == STORED[name]


@pytest.mark.parametrize("name", [name for name in sorted(STORED) if name.startswith("message.")])
def test_messages_are_read_as_they_were(name: str) -> None:
    number = int(name.split(".")[1])
    protocol = FEED_PROTOCOL if number < 20 else MESH_PROTOCOL if number < 40 else CONTENT_PROTOCOL
    message = decode_message(protocol, STORED[name])
    assert NUMBERS[type(message)] == number
    assert encode_message(message) == STORED[name]


def test_signatures_hold() -> None:
    assert papers.open_bid(STORED["paper.bid"]).attempt == 1
    assert papers.open_assignment(STORED["paper.assignment"]).attempt == 1
    assert papers.open_receipt(STORED["paper.receipt"]).attempt == 1
    assert open_invitation(STORED["paper.invitation"]).id == bytes(range(16))
    genesis, second = parse_block(STORED["block.genesis"]), parse_block(STORED["block.second"])
    assert genesis.is_genuine()
    assert second.is_genuine()
    assert second.header.previous == second.header.federation == genesis.cid
    assert [read_record(data).name for data in genesis.records] == ["federation.founded"]
