from dataclasses import FrozenInstanceError, dataclass
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel import encoding
from icn.kernel.errors import Invalid, InvariantBroken
from icn.kernel.fields import shape_of
from icn.kernel.ids import RAW, Cid, Did, JobId, PeerId
from icn.kernel.instant import Instant

ALICE = Did.from_public_key(b"a" * 32)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Inner:
    note: str


@dataclass(frozen=True, slots=True)
class Everything:
    count: int
    flag: bool
    text: str
    data: bytes
    who: Did
    peer: PeerId
    link: Cid
    job: JobId
    colour: Colour
    inner: Inner
    maybe: int | None
    many: tuple[Inner, ...]
    when: Instant


def everything(count: int = 1, note: str = "n", maybe: int | None = None, times: int = 2) -> Everything:
    return Everything(
        count=count,
        flag=True,
        text="t",
        data=b"d",
        who=ALICE,
        peer=PeerId.of(ALICE),
        link=Cid.of(b"", RAW),
        job=JobId.of(ALICE, bytes(16)),
        colour=Colour.BLUE,
        inner=Inner(note),
        maybe=maybe,
        many=(Inner("x"),) * times,
        when=Instant(5),
    )


SHAPE = shape_of(Everything)


@given(st.integers(0, 2**63), st.text(max_size=9), st.none() | st.integers(0, 9), st.integers(0, 4))
def test_a_value_comes_back_through_bytes(count: int, note: str, maybe: int | None, times: int) -> None:
    value = everything(count, note, maybe, times)
    assert SHAPE.from_map(encoding.decode(encoding.encode(SHAPE.to_map(value)))) == value


def test_fields_are_written_in_canonical_order() -> None:
    names = list(SHAPE.to_map(everything()))
    assert names == sorted(names, key=lambda name: (len(name), name))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", True),  # a boolean is an int in Python and not here
        ("count", "1"),
        ("count", None),
        ("flag", 1),
        ("text", b"t"),
        ("data", "d"),
        ("who", "did:key:zzz"),
        ("who", b"d"),
        ("peer", ALICE.text),
        ("link", b"\x01"),
        ("job", bytes(19)),
        ("job", "job-"),
        ("colour", "green"),
        ("colour", ["red"]),
        ("inner", {"note": 1}),
        ("inner", {"note": "n", "extra": 1}),
        ("inner", []),
        ("maybe", "1"),
        ("many", {"note": "x"}),
        ("many", {}),
        ("many", None),
        ("many", [{"note": "x"}, 1]),
        ("when", True),
    ],
)
def test_a_field_of_another_type_is_refused_by_name(name: str, value: object) -> None:
    data = SHAPE.to_map(everything()) | {name: value}
    with pytest.raises(Invalid, match=rf"Everything\.{name}"):
        SHAPE.from_map(data)


@pytest.mark.parametrize("name", SHAPE.names)
def test_a_missing_or_renamed_field_is_refused(name: str) -> None:
    data = SHAPE.to_map(everything())
    held = data.pop(name)
    with pytest.raises(Invalid):
        SHAPE.from_map(data)
    with pytest.raises(Invalid):
        SHAPE.from_map(data | {name + "_": held})


def test_an_unknown_field_is_refused_and_named() -> None:
    with pytest.raises(Invalid, match="surprise"):
        SHAPE.from_map(SHAPE.to_map(everything()) | {"surprise": 1})


@pytest.mark.parametrize("data", [None, [], "x", 1])
def test_what_is_no_map_is_refused(data: object) -> None:
    with pytest.raises(Invalid, match="map"):
        SHAPE.from_map(data)


def test_an_annotation_outside_the_small_set_is_our_mistake() -> None:
    @dataclass(frozen=True)
    class Odd:
        amounts: dict[str, int]

    for _ in range(2):
        with pytest.raises(InvariantBroken, match="no converter"):
            shape_of(Odd).encode(Odd({}))


def test_a_shape_is_compiled_when_it_is_used_first() -> None:
    @dataclass(frozen=True)
    class Later:
        value: "int"

    shape = shape_of(Later)
    assert shape is shape_of(Later)
    assert set(vars(shape)) == {"cls"}
    assert shape.decode(shape.encode(Later(7))) == Later(7)
    assert shape.names == ("value",)
    with pytest.raises(AttributeError, match="nothing"):
        _ = shape.nothing


def test_bytes_are_read_only_as_the_shape_writes_them() -> None:
    value = everything()
    data = SHAPE.encode(value)
    assert data == encoding.encode(SHAPE.to_map(value))
    assert SHAPE.decode(data) == SHAPE.decode_own(data) == value
    backwards = dict(reversed(SHAPE.to_map(value).items()))
    for other in (
        data + b"\0",
        encoding.encode_ordered(backwards),
        data.replace(b"\x65count\x01", b"\x65count\x18\x01"),
    ):
        assert other != data
        with pytest.raises(Invalid, match="canonical"):
            SHAPE.decode(other)
        assert SHAPE.from_map(backwards) == value


def test_every_combination_of_present_and_absent_fields_is_read() -> None:
    @dataclass(frozen=True, slots=True)
    class Sparse:
        a: int | None
        b: Cid | None
        c: Did | None
        d: Inner | None
        e: Colour | None
        f: JobId | None
        g: tuple[int, ...] | None

    shape = shape_of(Sparse)
    full = (1, Cid.of(b"", RAW), ALICE, Inner("n"), Colour.RED, JobId.of(ALICE, bytes(16)), (1, 2))
    for chosen in range(2 ** len(full)):
        value = Sparse(*(part if chosen >> place & 1 else None for place, part in enumerate(full)))  # type: ignore[arg-type]  # of the right types, by place
        assert shape.decode(shape.encode(value)) == value
    with pytest.raises(Invalid, match=r"Sparse\.a"):
        shape.from_map(shape.to_map(Sparse(*full)) | {"a": "1"})  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize("count", [0, 1])
def test_dataclasses_of_no_field_and_of_one_have_shapes_too(count: int) -> None:
    @dataclass(frozen=True, slots=True)
    class Nothing:
        pass

    for cls, value in ((Nothing, Nothing()), (Inner, Inner("n")))[count : count + 1]:
        assert shape_of(cls).decode(shape_of(cls).encode(value)) == value


def test_fields_that_are_given_by_name_only_are_read() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Named:
        bb: int
        a: str

    assert shape_of(Named).decode(shape_of(Named).encode(Named(bb=1, a="x"))) == Named(bb=1, a="x")


def test_what_is_read_is_as_frozen_and_as_slotted_as_what_was_made() -> None:
    read = SHAPE.decode(SHAPE.encode(everything()))
    assert type(read) is Everything
    with pytest.raises(FrozenInstanceError):
        read.count = 2  # type: ignore[misc]  # that is the point
    assert hash(read) == hash(everything())
    assert not hasattr(read, "__dict__")


def test_a_class_that_looks_at_its_own_values_does_so_when_they_are_read() -> None:
    @dataclass(frozen=True, slots=True)
    class Careful:
        count: int

        def __post_init__(self) -> None:
            if self.count < 0:
                raise Invalid("count", "negative")

    shape = shape_of(Careful)
    assert shape.decode(shape.encode(Careful(1))) == Careful(1)
    with pytest.raises(Invalid, match="negative"):
        shape.from_map({"count": -1})


def test_a_percent_sign_is_itself_in_names_and_values() -> None:
    @dataclass(frozen=True, slots=True)
    class Link:
        b: Cid  # the head of a link has a byte that is one
        text: str

    value = Link(Cid.of(b"", RAW), "100 %b")
    assert shape_of(Link).encode(value) == encoding.encode(shape_of(Link).to_map(value))


@pytest.mark.parametrize(
    "link", [encoding.Link(42, b"\0\x12\x20" + bytes(32)), encoding.Link(41, b"\0"), encoding.Link(42, "x")]
)
def test_a_link_that_names_no_block_of_ours_is_refused(link: encoding.Link) -> None:
    with pytest.raises(Invalid, match=r"Everything\.link"):
        SHAPE.from_map(SHAPE.to_map(everything()) | {"link": link})
