"""Parts of content: where the next one goes on, and how much is kept of what was not completed."""

from icn.kernel.limits import MIB
from icn.services.fetching import PARTS_KEPT_BYTES_MAX, Fetching, KeptParts, Part
from support import builders

ONE, TWO, THREE = builders.did(1), builders.did(2), builders.did(3)


def test_sources_are_asked_in_order_and_keep_what_came() -> None:
    fetching = Fetching([ONE, TWO], [])
    assert fetching.next_source() == ONE
    fetching.part.data += b"begin"
    assert fetching.next_source() == TWO
    assert fetching.part.data == b"begin"
    assert fetching.next_source() is None
    assert list(fetching.asked) == [ONE, TWO]


def test_after_a_contradiction_everybody_begins_anew_those_first_who_brought_some() -> None:
    fetching = Fetching([THREE], [], part=Part(bytearray(b"x"), 5, {ONE: None, TWO: None}))
    fetching.start_over()
    for source in (ONE, TWO, THREE):
        assert fetching.next_source() == source
        assert fetching.part == Part()
        fetching.part.data += b"some"


def test_who_has_no_rest_of_a_beginning_is_asked_for_the_whole_before_all_is_given_up() -> None:
    fetching = Fetching([ONE, TWO], [])
    fetching.next_source()
    fetching.part = Part(bytearray(b"x"), 5, {ONE: None})
    fetching.next_source()
    fetching.has_none()
    assert [fetching.next_source() for _ in range(3)] == [TWO, ONE, None]
    assert fetching.is_alone


def test_who_has_none_at_all_is_not_asked_again() -> None:
    fetching = Fetching([ONE], [])
    fetching.next_source()
    fetching.has_none()
    assert fetching.next_source() is None


def test_a_part_is_kept_once_and_for_one_fetch() -> None:
    kept = KeptParts()
    part = Part(bytearray(b"begin"), 9, {ONE: None})
    kept.keep(builders.cid("x"), part)
    assert kept.take(builders.cid("x")) == part
    assert kept.take(builders.cid("x")) == Part()


def test_of_what_is_kept_the_oldest_goes_first() -> None:
    kept = KeptParts()
    size = 4 * MIB
    for number in range(PARTS_KEPT_BYTES_MAX // size + 1):
        kept.keep(builders.cid(str(number)), Part(bytearray(size), 2 * size, {ONE: None}))
    assert kept.take(builders.cid("0")) == Part()
    assert len(kept.take(builders.cid("1")).data) == size


def test_nothing_is_whole_before_its_length_is_known() -> None:
    assert not Part().is_whole
    assert Part(bytearray(), 0).is_whole
