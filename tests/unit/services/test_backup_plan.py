"""When, which kind, and what may go: examples a person would ask about, and what holds whatever is at the target."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import InvariantBroken
from icn.kernel.instant import Duration, Instant
from icn.services.backup_plan import (
    RETRY_PAUSE,
    ArchiveName,
    Retention,
    archive_id,
    chain,
    due_at,
    goes_on,
    may_go,
    names_of,
    node_mark,
    ours,
    retry_pause,
)
from support.builders import did

DAY = 86_400_000
NODE = node_mark(did(1))
NOW = Instant(1_800_000_000_000)


def name(number: int, on: int | None = None, *, days_old: int = 0, encrypted: bool = False) -> ArchiveName:
    parent = None if on is None else f"{on:016x}"
    return ArchiveName(NODE, Instant(NOW - 1000 - days_old * DAY + number), f"{number:016x}", parent, encrypted)


def numbers(archives: list[ArchiveName] | None) -> list[int] | None:
    return None if archives is None else [int(archive.id, 16) for archive in archives]


# Names.


def test_names_of_a_node_begin_alike():
    assert name(1).text.startswith(names_of(did(1)))
    assert not name(1).text.startswith(names_of(did(2)))


def test_a_name_says_what_it_is_to_a_person():
    made = Instant(int(datetime(2026, 11, 24, 3, 15, 0, 123_000, UTC).timestamp() * 1000))
    full = ArchiveName("9f86d081884c7d65", made, "4e1243bd22c66e76", None, encrypted=False)
    link = ArchiveName("9f86d081884c7d65", made, "8d23cf6c86e834a7", "4e1243bd22c66e76", encrypted=True)
    assert full.text == "icn-9f86d081884c7d65-20261124T031500123Z-4e1243bd22c66e76-full.tar.gz"
    assert link.text == "icn-9f86d081884c7d65-20261124T031500123Z-8d23cf6c86e834a7-on-4e1243bd22c66e76.tar.gz.age"


@given(st.integers(0, 253_402_300_799_999), st.booleans(), st.booleans())
def test_names_are_read_as_they_were_written(made, full, encrypted):
    written = ArchiveName(NODE, Instant(made), "4e1243bd22c66e76", None if full else "0" * 16, encrypted)
    assert ArchiveName.parse(written.text) == written
    moment = datetime.fromtimestamp(made // 1000, UTC)
    assert f"-{moment:%Y%m%dT%H%M%S}{made % 1000:03}Z-".replace("--", "-") in written.text.replace(
        f"-{moment.year}", f"-{moment.year:04}"
    )


GOOD = name(1).text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "manifest.json",
        GOOD + ".part",
        "x" + GOOD,
        GOOD.upper(),
        GOOD.replace("full", "half"),
        GOOD.replace(".tar.gz", ".tar"),
        GOOD + "\n",
        "icn-9f86d081884c7d65-20260230T000000000Z-4e1243bd22c66e76-full.tar.gz",
        "icn-9f86d081884c7d65-20261301T000000000Z-4e1243bd22c66e76-full.tar.gz",
        "icn-9f86d081884c7d65-20261124T250000000Z-4e1243bd22c66e76-full.tar.gz",
        "icn-9f86d081884c7d65-20261124T006100000Z-4e1243bd22c66e76-full.tar.gz",
        "icn-9f86d081884c7d65-20261124T000061000Z-4e1243bd22c66e76-full.tar.gz",
        "icn-9f86d081884c7d65-00000101T000000000Z-4e1243bd22c66e76-full.tar.gz".replace("0000", "000x"),
        "icn-9f86d081884c7d65-20261124T000000000Z-4e1243bd22c66e7-full.tar.gz",
        "icn-9f86d081884c7d65-20261124T000000000Z-4e1243bd22c66e76-on-4e12.tar.gz",
    ],
)
def test_what_is_no_name_of_ours_is_none(text):
    assert ArchiveName.parse(text) is None


def test_archives_of_other_nodes_and_other_files_are_not_ours():
    other = ArchiveName(node_mark(did(2)), NOW, "1" * 16, None, encrypted=False)
    listed = [name(2).text, "notes.txt", other.text, name(1).text]
    assert ours(listed, did(1)) == [name(1), name(2)]


def test_a_hash_is_shortened_to_what_names_hold():
    assert archive_id("ab" * 32) == "ab" * 8


# When.


def test_the_first_backup_is_due_at_once():
    assert due_at(None, Duration(DAY), NOW) == NOW


def test_the_next_is_due_an_interval_after_the_last_success():
    assert due_at(Instant(NOW - DAY // 2), Duration(DAY), NOW) == NOW + DAY // 2


def test_runs_that_were_missed_are_one_run():
    assert due_at(Instant(NOW - 10 * DAY), Duration(DAY), NOW) <= NOW
    assert due_at(NOW, Duration(DAY), NOW) > NOW


def test_a_success_that_is_still_to_come_does_not_put_backups_off():
    assert due_at(Instant(NOW + 1000 * DAY), Duration(DAY), NOW) == NOW


def test_pauses_double_and_never_exceed_the_interval():
    pauses = [retry_pause(failures, Duration(10 * RETRY_PAUSE)) for failures in range(1, 7)]
    assert pauses == [RETRY_PAUSE * factor for factor in (1, 2, 4, 8, 10, 10)]
    assert retry_pause(10**6, Duration(DAY)) == DAY
    assert retry_pause(5, Duration(1000)) == RETRY_PAUSE
    with pytest.raises(InvariantBroken):
        retry_pause(0, Duration(DAY))


# Which kind.


def test_a_chain_grows_until_the_next_full_one_is_due():
    archives: list[ArchiveName] = []
    newest: int | None = None
    kinds = ""
    for number in range(1, 9):
        on = goes_on(archives, None if newest is None else f"{newest:016x}", full_every=3)
        kinds += "i" if on else "F"
        archives.append(name(number, newest if on else None))
        newest = number
    assert kinds == "FiiFiiFi"


def test_full_every_one_makes_every_backup_full():
    assert not goes_on([name(1)], name(1).id, full_every=1)


def test_a_backup_goes_on_only_from_what_is_whole_at_the_target():
    assert not goes_on([name(2, 1)], name(2).id, full_every=9)
    assert not goes_on([name(1)], name(2).id, full_every=9)
    assert not goes_on([], None, full_every=9)
    assert goes_on([name(1), name(2, 1)], name(2).id, full_every=9)


def test_a_chain_begins_with_the_full_one_or_is_none():
    archives = [name(3, 2), name(1), name(2, 1), name(5, 4), name(6, 6)]
    assert numbers(chain(archives, name(3).id)) == [1, 2, 3]
    assert chain(archives, name(5).id) is None
    assert chain(archives, name(6).id) is None
    assert chain(archives, name(9).id) is None


# What may go.

NOTHING_KEPT = Retention(keep_last=1, keep=Duration(0))


def test_full_backups_beyond_the_last_ones_go():
    archives = [name(number, days_old=10 - number) for number in range(1, 6)]
    assert numbers(may_go(archives, Retention(2, Duration(0)), after=archives[-1], now=NOW)) == [3, 2, 1]


def test_what_is_young_enough_stays_whatever_the_number():
    archives = [name(number, days_old=10 - number) for number in range(1, 6)]
    assert numbers(may_go(archives, Retention(1, Duration(7 * DAY)), after=archives[-1], now=Instant(NOW - 1000))) == [
        2,
        1,
    ]


def test_a_kept_link_keeps_what_it_stands_on_and_no_more():
    archives = [name(1), name(2, 1), name(3, 2), name(4), name(5, 4)]
    assert numbers(may_go(archives, NOTHING_KEPT, after=archives[-1], now=NOW)) == [3, 2, 1]
    assert numbers(may_go(archives, Retention(3, Duration(0)), after=archives[-1], now=NOW)) == []


def test_links_go_before_what_they_stand_on():
    early_child = ArchiveName(NODE, Instant(0), f"{2:016x}", f"{1:016x}", encrypted=False)
    archives = [name(1), early_child, name(9)]
    assert numbers(may_go(archives, NOTHING_KEPT, after=archives[-1], now=Instant(NOW + DAY))) == [2, 1]


def test_what_cannot_be_restored_takes_no_place_among_the_last():
    archives = [name(1), name(3, 2), name(4)]
    assert numbers(may_go(archives, Retention(2, Duration(0)), after=name(4), now=NOW)) == [3]


def test_nothing_goes_when_the_backup_did_not_arrive():
    archives = [name(1), name(2), name(3, 9)]
    assert may_go(archives, NOTHING_KEPT, after=name(5), now=NOW) == []
    assert may_go(archives, NOTHING_KEPT, after=name(3, 9), now=NOW) == []


def test_a_newer_archive_than_the_one_just_made_stays():
    archives = [name(1), name(2), name(3)]
    assert numbers(may_go(archives, NOTHING_KEPT, after=name(2), now=NOW)) == [1]


@st.composite
def targets(draw: st.DrawFn) -> list[ArchiveName]:
    """Any set of archives: chains, forks, missing links, circles, clocks that ran backwards."""
    made = []
    for number in draw(st.lists(st.integers(1, 12), min_size=1, unique=True)):
        parent = draw(st.none() | st.integers(1, 12))
        made.append(name(number, parent, days_old=draw(st.integers(-5, 40))))
    return made


@given(targets(), st.integers(1, 12), st.integers(1, 5), st.integers(0, 30))
def test_whatever_is_there_what_is_wanted_stays_restorable(archives, after, keep_last, keep_days):
    made = next((archive for archive in archives if archive.id == f"{after:016x}"), archives[0])
    going = may_go(archives, Retention(keep_last, Duration(keep_days * DAY)), after=made, now=NOW)
    left = list(archives)
    assert len(set(going)) == len(going)
    for archive in going:
        left.remove(archive)
        for kept in left:  # also in the middle of the deletions: what could be restored still can, or goes itself
            if chain(archives, kept.id) is not None and kept not in going:
                assert chain(left, kept.id) is not None
            if kept in going and chain(archives, kept.id) is not None:
                assert chain(left, kept.id) is not None
    if going:
        assert chain(left, made.id) is not None
    restorable = [one for one in archives if chain(archives, one.id) is not None]
    still = [one for one in left if chain(left, one.id) is not None]
    assert len(still) >= min(keep_last, len(restorable))
    assert all(archive.made + keep_days * DAY <= NOW for archive in going)
    assert all((archive.made, archive.text) < (made.made, made.text) for archive in going)


@given(targets(), st.integers(1, 5))
def test_deleting_what_may_go_leaves_nothing_more_to_delete(archives, keep_last):
    retention = Retention(keep_last, Duration(0))
    for made in archives:
        going = may_go(archives, retention, after=made, now=NOW)
        left = [archive for archive in archives if archive not in going]
        assert may_go(left, retention, after=made, now=NOW) == []
