"""Dataclasses as JSON: one table for what is written and for the schema that says so."""

from dataclasses import dataclass
from enum import Enum

import pytest

from icn.domain.records import EVENT_NAMES
from icn.http.rendering import rendered, schema_of
from icn.kernel.errors import InvariantBroken
from icn.kernel.ids import RAW, Cid, Did, JobId, PeerId
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana

OWNER = Did.from_public_key(bytes(32))


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    at: Instant


@dataclass(frozen=True)
class Everything:
    did: Did
    cid: Cid
    job: JobId
    peer: PeerId
    amount: Mana
    yes: bool
    colour: Colour
    nonce: bytes
    data: bytes
    from_: str
    inner: Inner
    absent: Inner | None
    many: tuple[Inner, ...]
    counts: dict[str, int]


VALUE = Everything(
    did=OWNER,
    cid=Cid.of(b"x", RAW),
    job=JobId(bytes(20)),
    peer=PeerId.of(OWNER),
    amount=Mana(7),
    yes=True,
    colour=Colour.RED,
    nonce=b"\xff",
    data=b"hi",
    from_="me",
    inner=Inner(Instant(1)),
    absent=None,
    many=(Inner(Instant(0)),),
    counts={"a": 1},
)


def test_every_kind_of_value() -> None:
    assert rendered(VALUE) == {
        "did": OWNER.text,
        "cid": "bafkreibnoelefnzgwbcacyt4vh52ymxvzbjq7mmqhtcnwarfq4lzegsiqe",
        "job": "job-" + "a" * 32,
        "peer": str(PeerId.of(OWNER)),
        "amount": 7,
        "yes": True,
        "colour": "red",
        "nonce_base64": "/w==",
        "data": "aGk=",
        "from": "me",
        "inner": {"at": "1970-01-01T00:00:00.001Z"},
        "absent": None,
        "many": [{"at": "1970-01-01T00:00:00.000Z"}],
        "counts": {"a": 1},
    }


def test_the_schema_has_the_very_fields() -> None:
    schema = schema_of(Everything)
    assert list(schema["properties"]) == list(rendered(VALUE)) == schema["required"]
    assert schema["properties"]["colour"] == {"type": "string", "enum": ["red"]}
    assert schema["properties"]["inner"]["properties"]["at"]["format"] == "date-time"


@pytest.mark.parametrize("event", EVENT_NAMES, ids=lambda event: event.__name__)
def test_every_event_can_be_rendered(event: type) -> None:
    assert schema_of(event)["properties"]


def test_what_has_no_rendering_is_a_bug_of_ours() -> None:
    @dataclass(frozen=True)
    class Strange:
        value: float

    with pytest.raises(InvariantBroken):
        schema_of(Strange)
