import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import Invalid
from icn.protocol.libp2p.protobuf import FIELDS_MAX, Message, bytes_field, number_field


def test_reads_what_the_encoding_guide_writes():
    message = Message(bytes.fromhex("089601120774657374696e67"))
    assert message.number(1) == 150
    assert message.byte_string(2) == b"testing"


def test_repeated_fields_keep_their_order_and_the_last_single_one_counts():
    message = Message(bytes_field(3, b"a") + bytes_field(3, b"b") + number_field(1, 5) + number_field(1, 6))
    assert message.byte_strings(3) == [b"a", b"b"]
    assert message.byte_string(3) == b"b"
    assert message.number(1) == 6


def test_missing_fields_are_none_and_fixed_width_ones_are_skipped():
    message = Message(bytes.fromhex("090102030405060708" + "1501020304") + number_field(3, 7))
    assert (message.number(1), message.byte_string(2), message.number(3)) == (None, None, 7)


@pytest.mark.parametrize(
    "data",
    ["08", "0a05616263", "0b", "0c", "0e", "00", "0a", "ffffffffffffffffff01", "09010203", "0880808080808080808001"],
)
def test_malformed_messages_are_refused(data):
    with pytest.raises(Invalid):
        Message(bytes.fromhex(data))


def test_a_field_of_the_other_kind_is_refused():
    with pytest.raises(Invalid):
        Message(number_field(1, 1)).byte_string(1)
    with pytest.raises(Invalid):
        Message(bytes_field(1, b"")).number(1)


def test_the_number_of_fields_is_bounded():
    Message(number_field(1, 1) * FIELDS_MAX)
    with pytest.raises(Invalid, match="fields"):
        Message(number_field(1, 1) * (FIELDS_MAX + 1))


@given(st.binary(max_size=300))
def test_nothing_but_invalid_comes_of_garbage(data):
    with contextlib.suppress(Invalid):
        Message(data)


@given(st.lists(st.tuples(st.integers(1, 2000), st.one_of(st.integers(0, 2**63 - 1), st.binary(max_size=40)))))
def test_what_is_written_is_read(fields):
    data = b"".join(
        number_field(field, value) if isinstance(value, int) else bytes_field(field, value) for field, value in fields
    )
    message = Message(data)
    for field, value in reversed(fields):
        same = [other for number, other in fields if number == field]
        if all(isinstance(other, type(value)) for other in same):
            got = message.number(field) if isinstance(value, int) else message.byte_strings(field)
            assert got == (same[-1] if isinstance(value, int) else same)
