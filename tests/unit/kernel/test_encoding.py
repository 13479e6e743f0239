import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel import cbor_items
from icn.kernel.encoding import (
    DEPTH_MAX,
    ORDERS_REMEMBERED_MAX,
    Link,
    decode,
    decode_loose,
    encode,
    encode_map,
    encode_ordered,
    link_to,
)
from icn.kernel.errors import Invalid
from icn.kernel.ids import DAG_CBOR, Cid, ForeignCid

CIDS = st.binary(max_size=8).map(lambda content: Cid.of(content, DAG_CBOR))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.binary(max_size=30)
    | CIDS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner, max_size=5)
)


def same(a: object, b: object) -> bool:
    """Equal, and of the same types: True is not 1 here, and 1.0 is not 1, and -0.0 is not 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack(">d", a) == struct.pack(">d", b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


@pytest.mark.slow
@given(VALUES)
def test_a_value_comes_back_with_its_types(value: object) -> None:
    assert same(decode(encode(value)), value)


@given(st.binary(max_size=60))
def test_bytes_from_anywhere_are_the_one_encoding_or_refused(data: bytes) -> None:
    try:
        value = decode(data)
    except Invalid:
        return
    assert encode(value) == data


@pytest.mark.slow
@given(VALUES, st.data())
def test_one_flipped_bit_gives_another_value_or_a_refusal(value: object, draw: st.DataObject) -> None:
    data = bytearray(encode(value))
    position = draw.draw(st.integers(0, len(data) * 8 - 1))
    data[position // 8] ^= 1 << position % 8
    try:
        again = decode(bytes(data))
    except Invalid:
        return
    assert not same(again, value)


@given(
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=8).filter(
        lambda d: all(abs(v) < 2**64 for v in d.values())
    )
)
def test_the_order_in_which_a_map_was_built_does_not_matter(value: dict[str, int]) -> None:
    backwards = dict(reversed(value.items()))
    assert encode(value) == encode(backwards)


def test_map_keys_are_ordered_by_length_and_then_by_bytes() -> None:
    assert encode({"aa": 1, "b": 2, "": 3, "a": 4}) == bytes.fromhex("a4600361610461620262616101")


REFUSED = {
    "nothing": "",
    "argument missing": "18",
    "two values": "0101",
    "17 in two bytes": "1811",
    "255 in three bytes": "1900ff",
    "65535 in five bytes": "1a0000ffff",
    "2^32-1 in nine bytes": "1b00000000ffffffff",
    "-1 in two bytes": "3800",
    "text length not minimal": "780161",
    "bytes length not minimal": "580100",
    "array length not minimal": "980100",
    "map length not minimal": "b801616100",
    "tag number not minimal": "d9002a582500" + Cid.of(b"", DAG_CBOR).data.hex(),
    "link length not minimal": "d82a59002500" + Cid.of(b"", DAG_CBOR).data.hex(),
    "half float": "f93c00",
    "single float": "fa3f800000",
    "NaN": "fb7ff8000000000000",
    "NaN with a payload": "fb7ff8000000000001",
    "infinity": "fb7ff0000000000000",
    "minus infinity": "fbfff0000000000000",
    "undefined": "f7",
    "simple value": "f0",
    "simple value in two bytes": "f820",
    "false in two bytes": "f814",
    "a break on its own": "ff",
    "indefinite bytes": "5f4100ff",
    "indefinite text": "7f6161ff",
    "indefinite array": "9f00ff",
    "indefinite map": "bf616100ff",
    "reserved argument": "1c",
    "duplicate keys": "a2616101616102",
    "keys not sorted by length": "a262616101616202",
    "keys not sorted by bytes": "a2616201616102",
    "integer key": "a10000",
    "bytes key": "a1410000",
    "null key": "a1f600",
    "list key": "a18000",
    "text that is not UTF-8": "62c328",
    "text with a surrogate": "63eda080",
    "a date tag": "c074323031332d30332d32315432303a30343a30305a",
    "a bignum": "c249010000000000000000",
    "a small bignum": "c24101",
    "the self-describing tag": "d9d9f700",
    "the shared-value tag": "d81c80",
    "the shared-reference tag": "d81d00",
    "the string-reference tag": "d9010080",
    "the set tag": "d9010280",
    "the fraction tag": "d81e820102",
    "a link that is text": "d82a6161",
    "a link that is empty": "d82a40",
    "a link without its zero": "d82a5824" + Cid.of(b"", DAG_CBOR).data.hex(),
    "a link to no CID": "d82a4300ffff",
    "a link in a link": "d82ad82a582500" + Cid.of(b"", DAG_CBOR).data.hex(),
    "bytes cut short": "4401",
    "an array cut short": "8301",
    "a map cut short": "a16161",
    "an array of 2^64-1": "9bffffffffffffffff",
    "a map of 2^64-1": "bbffffffffffffffff",
    "a text of 2^64-1": "7bffffffffffffffff",
    "bytes of 2^63": "5b8000000000000000",
    "a billion elements announced": "9a3b9aca00",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_canonical_dag_cbor_is_refused(data: str) -> None:
    with pytest.raises(Invalid):
        decode(bytes.fromhex(data))


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused_inside_other_values_too(data: str) -> None:
    inner = bytes.fromhex(data)
    for around in (b"\x82\x00" + inner, b"\xa1\x61a" + inner):
        with pytest.raises(Invalid):
            decode(around)


def nested(depth: int, opening: bytes = b"\x81", innermost: bytes = b"\x00") -> bytes:
    return opening * depth + innermost


def test_the_deepest_accepted_value_comes_back_and_one_deeper_is_refused() -> None:
    assert encode(decode(nested(DEPTH_MAX))) == nested(DEPTH_MAX)
    for bomb in (nested(DEPTH_MAX + 1), nested(DEPTH_MAX + 1, b"\xa1\x61a")):
        with pytest.raises(Invalid, match="nest"):
            decode(bomb)


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x60", b"\xd8\x2a", b"\xc0", b"\x82\x00", b"\x9f"])
def test_a_depth_bomb_is_refused_without_recursion(opening: bytes) -> None:
    with pytest.raises(Invalid, match=r"nesting|indefinite"):
        decode(nested(1_000_000, opening))


def test_a_value_too_deep_to_write_is_refused_and_not_a_crash() -> None:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(Invalid, match="nested deeper"):
        encode(value)


def test_what_can_be_written_can_be_read() -> None:
    """The bound of writing and that of reading are the same, for the kinds that nest and for links at the bottom."""
    link = Cid.of(b"", DAG_CBOR)
    for innermost in (0, [], {}, [1], link):
        value: object = innermost
        for _ in range(DEPTH_MAX + 2):
            try:
                data = encode(value)
            except Invalid:
                break
            assert decode(data) == value
            value = [value]


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        -(2**64) - 1,
        math.nan,
        math.inf,
        -math.inf,
        {1: 2},
        {b"a": 1},
        {None: 1},
        {1, 2},
        object(),
        bytearray(b"a"),
        1j,
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_dag_cbor_cannot_carry_are_refused(value: object) -> None:
    for candidate in (value, [value], {"a": value}):
        with pytest.raises(Invalid):
            encode(candidate)


def test_a_text_with_a_lone_surrogate_is_refused() -> None:
    for value in ("\ud800", {"\ud800": 1}):
        with pytest.raises(Invalid):
            encode(value)


def test_links_come_back_as_ours_or_as_foreign() -> None:
    ours = Cid.of(b"x", DAG_CBOR)
    foreign = ForeignCid(b"\x12\x20" + bytes(32))
    assert decode(encode([ours, foreign])) == [ours, foreign]
    assert encode(ours) == bytes.fromhex("d82a582500") + ours.data


def test_tuples_are_written_as_lists() -> None:
    assert encode((1, (2,))) == encode([1, [2]])


def test_subclasses_are_refused_rather_than_written_as_what_they_resemble() -> None:
    class Loud(str):
        __slots__ = ()

    with pytest.raises(Invalid):
        encode(Loud("a"))


@given(st.lists(VALUES, max_size=30))
def test_values_that_are_encoded_already_join_to_the_encoding_of_their_list(values: list[object]) -> None:
    assert cbor_items.list_of([encode(value) for value in values]) == encode(values)


@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=30))
def test_values_that_are_encoded_already_join_to_the_encoding_of_their_map(values: dict[str, object]) -> None:
    assert encode_map({key: encode(value) for key, value in reversed(values.items())}) == encode(values)


def test_what_a_map_may_look_like_is_not_learnt_from_maps_out_of_order() -> None:
    backwards = encode({"a": 1, "b": 2, "cc": 3})
    assert decode(backwards) == {"a": 1, "b": 2, "cc": 3}
    for _ in range(2):
        with pytest.raises(Invalid):
            decode(bytes.fromhex("a3616202616101" + "62636303"))


def test_however_many_kinds_of_maps_come_they_are_read_right() -> None:
    for number in range(2 * ORDERS_REMEMBERED_MAX):
        value = {f"a{number}": 0, f"b{number}": number}
        assert decode(encode(value)) == value


def test_a_link_may_be_given_as_the_encoder_takes_it() -> None:
    cid = Cid.of(b"x", DAG_CBOR)
    assert encode({"a": link_to(cid)}) == encode_ordered({"a": link_to(cid)}) == encode({"a": cid})
    for wrong in (Link(41, b"\0" + cid.data), Link(42, cid.data), Link(42, "x"), Link(42, b"\0")):
        with pytest.raises(Invalid):
            encode([wrong])


@pytest.mark.parametrize("data", ["c249010000000000000000", "c340", "9f00ff", "a2616101616102", "18", "ff"])
def test_also_who_compares_bytes_afterwards_reads_no_numbers_without_bound(data: str) -> None:
    with pytest.raises(Invalid):
        decode_loose(bytes.fromhex(data))
