"""Records are read as they were written, and nothing else passes for one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icn.domain.ledger.events import ManaHeld
from icn.domain.ledger.model import HoldId
from icn.domain.records import EVENT_NAMES, TEXT_CHARS_MAX, Envelope, Record, read_record, write_record
from icn.kernel.encoding import decode, encode
from icn.kernel.errors import Invalid
from icn.kernel.mana import Mana
from support import builders
from support.shapes import values_of

RECORD = Record(builders.NODE_ITSELF, ManaHeld(HoldId(b"h"), builders.did(1), Mana(1)))


@pytest.mark.parametrize("kind", list(EVENT_NAMES), ids=lambda kind: kind.__name__)
@settings(max_examples=20)
@given(st.data())
def test_every_event_reads_as_it_was_written(kind: type, data: st.DataObject) -> None:
    record = Record(data.draw(values_of(Envelope)), data.draw(values_of(kind)))
    encoded = encode(write_record(record))
    assert read_record(decode(encoded)) == record
    assert encode(write_record(read_record(decode(encoded)))) == encoded


def test_names_are_unique_and_belong_to_their_domain() -> None:
    assert len(dict.fromkeys(EVENT_NAMES.values())) == len(EVENT_NAMES)
    for kind, name in EVENT_NAMES.items():
        assert kind.__module__ == f"icn.domain.{name.split('.')[0]}.events"


WRONG = {
    "unknown event": {"type": "ledger.printed"},
    "no text": {"type": 7},
    "no event": {"event": None},
    "a field too many": {"event": {**write_record(RECORD)["event"], "x": 1}},
    "a field too few": {"event": {"hold": b"h", "amount": 1}},
    "a wrong type": {"event": {**write_record(RECORD)["event"], "amount": True}},
    "no envelope": {"envelope": None},
    "a long cause": {"envelope": {**write_record(RECORD)["envelope"], "cause": "x" * (TEXT_CHARS_MAX + 1)}},
    "a part too many": {"more": 1},
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_record(what: str) -> None:
    with pytest.raises(Invalid):
        read_record({**write_record(RECORD), **WRONG[what]})


LEAVES = st.none() | st.integers() | st.text(max_size=9) | st.binary(max_size=9)


@given(
    st.recursive(LEAVES, lambda i: st.lists(i, max_size=3) | st.dictionaries(st.text(), i, max_size=3), max_leaves=6)
)
def test_noise_is_invalid_and_nothing_worse(noise: object) -> None:
    with pytest.raises(Invalid):
        read_record(noise)
