import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from icn.kernel.errors import Invalid
from icn.services.backup import draft
from icn.stores import archive
from icn.stores.archive import (
    MANIFEST,
    ArchiveKind,
    ArchiveNewer,
    Manifest,
    Order,
    Part,
    Position,
    part_name,
    read_manifest,
    size_max,
    split_name,
    write_manifest,
)
from support.archives import history, order
from support.held_archive import sealed


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    made = draft(history(1)["a"].store, order())
    return replace(made, parts=(Part("blocks/000001.car", 10, "ab" * 32),))


def test_a_manifest_is_read_as_written(manifest: Manifest) -> None:
    data = write_manifest(manifest)
    assert read_manifest(data) == manifest
    fields = json.loads(data)
    assert list(fields)[:2] == ["format", "kind"]
    assert fields["from"] == {"change": 0, "arrival": 0}
    assert "since" not in fields


def changed(manifest: Manifest, **fields: Any) -> bytes:
    return sealed({**json.loads(write_manifest(manifest)), **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"format": 0},
        {"format": "1"},
        {"kind": "partial"},
        {"node": "did:key:nobody"},
        {"unknown": 1},
        {"from": {"arrival": 1, "change": 0}},
        {"from": {"arrival": -1, "change": 0}},
        {"to": {"arrival": 0, "change": 0}},
        {"to": {"arrival": 1.5, "change": 0}},
        {"to": {"arrival": 2**70, "change": 0}},
        {"root": "00"},
        {"store": "../.."},
        {"parent": "ab" * 32},
        {"parts": [{"name": "x", "size": -1, "sha256": "ab" * 32}]},
        {"heads": [{"author": "did:key:nobody", "sequence": 0, "cid": "x"}]},
    ],
)
def test_a_manifest_in_another_form_is_refused(manifest: Manifest, fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        read_manifest(changed(manifest, **fields))


def test_a_newer_format_says_so(manifest: Manifest) -> None:
    with pytest.raises(ArchiveNewer, match="format 3"):
        read_manifest(changed(manifest, format=3, whatever=[]))


def test_every_bit_of_a_manifest_counts(manifest: Manifest) -> None:
    data = write_manifest(manifest)
    for at in range(len(data)):
        for bit in range(8):
            flipped = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            with pytest.raises((Invalid, ArchiveNewer)):
                read_manifest(flipped)


def test_a_checksum_is_that_of_all_that_stands_before_its_line(manifest: Manifest) -> None:
    data = write_manifest(manifest)
    stated = data[: data.index(b',\n "checksum"')]
    assert json.loads(data)["checksum"] == hashlib.sha256(stated).hexdigest()
    for other in (
        stated + b"\n}\n",
        data.replace(b'"format": 2', b'"format": 1'),
        data + b"\n",
        data.replace(b',\n "checksum"', b', \n"checksum"'),
    ):
        with pytest.raises(Invalid):
            read_manifest(other)


def test_a_manifest_of_the_first_format_has_none_and_is_read(manifest: Manifest) -> None:
    older = replace(manifest, format=1)
    data = write_manifest(older)
    assert b"checksum" not in data
    assert read_manifest(data) == older


def test_json_that_says_something_twice_is_refused(manifest: Manifest) -> None:
    data = write_manifest(manifest).replace(b"{", b'{"root": "' + b"00" * 32 + b'",', 1)
    with pytest.raises(Invalid):
        read_manifest(data)
    for text in (b"", b"[]", b"{", b"[" * 100_000, b'{"format": NaN}', b"\xff"):
        with pytest.raises(Invalid):
            read_manifest(text)


def test_names_are_those_of_an_archive_and_no_path() -> None:
    assert split_name("blocks/000001.car") == ("blocks", 1, "car")
    assert split_name(part_name("content", 1_234_567, "jsonl")) == ("content", 1_234_567, "jsonl")
    for name in (
        "../blocks/000001.car",
        "/blocks/000001.car",
        "blocks/../000001.car",
        "./blocks/000001.car",
        "blocks/1.car",
        "blocks/0000001.car",
        "blocks/000001.jsonl",
        "blocks/000001.car\n",
        "blocks/００００01.car",
        "etc/passwd",
        "",
    ):
        with pytest.raises(Invalid):
            size_max(name)


def test_the_order_of_names_has_no_gap_and_no_repetition() -> None:
    def taken(*names: str) -> None:
        following = Order()
        for name in names:
            following.take(name)

    good = (
        "blocks/000001.car",
        "content/000001.jsonl",
        "content/000001.car",
        "blocks/000002.car",
        "local/000001.jsonl",
    )
    taken(*good, "identity/node.key", MANIFEST)
    for bad in (
        (*good, "blocks/000002.car"),
        (*good, "blocks/000004.car"),
        ("blocks/000002.car",),
        ("content/000001.car",),
        ("content/000001.jsonl", "content/000001.car", "content/000001.car"),
        (MANIFEST, "blocks/000001.car"),
        (MANIFEST, MANIFEST),
        ("identity/node.key", "identity/node.key"),
    ):
        with pytest.raises(Invalid):
            taken(*bad)


def test_a_position_covers_what_lies_before_it_in_both_numbers() -> None:
    assert Position(5, 5).covers(Position(5, 5))
    assert not Position(5, 5).covers(Position(6, 0))
    assert not Position(5, 5).covers(Position(0, 6))
    assert ArchiveKind("full") is ArchiveKind.FULL


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0"])
def test_a_manifest_of_many_small_values_is_refused_before_it_takes_memory(value: bytes) -> None:
    with pytest.raises(Invalid, match="values"):
        read_manifest(b'{"format":1,"x":[' + b",".join([value] * archive.MANIFEST_VALUES_MAX) + b"]}")
