"""Who waits for a place: by arrival, in turn between homes, and never too many."""

from icn.kernel.instant import Duration, later
from icn.protocol.messages import JobAnnounced
from icn.services.waiting import WAITING_MAX, WAITING_PER_HOME_MAX, WaitingList
from support import builders


def announced(home: int, name: str, attempt: int = 1) -> JobAnnounced:
    return JobAnnounced(builders.job_id(builders.did(home), name), attempt, 1000, builders.spec())


def add(waiting: WaitingList, home: int, name: str) -> bool:
    return waiting.add(builders.did(home), announced(home, name), builders.START)


def served(waiting: WaitingList) -> list[JobAnnounced]:
    found = []
    while (first := waiting.first()) is not None:
        found.append(first.message)
        waiting.serve()
    return found


def test_one_home_is_served_by_arrival() -> None:
    waiting = WaitingList()
    for name in "abc":
        assert add(waiting, 1, name)
    assert served(waiting) == [announced(1, name) for name in "abc"]
    assert len(waiting) == 0


def test_homes_take_turns_whoever_came_with_more() -> None:
    waiting = WaitingList()
    for name in "abc":
        add(waiting, 1, name)
    add(waiting, 2, "d")
    add(waiting, 3, "e")
    order = [(1, "a"), (2, "d"), (3, "e"), (1, "b"), (1, "c")]
    assert served(waiting) == [announced(*each) for each in order]


def test_what_waits_already_keeps_its_turn() -> None:
    waiting = WaitingList()
    for name in "ab":
        add(waiting, 1, name)
    assert add(waiting, 1, "a")
    assert served(waiting) == [announced(1, "a"), announced(1, "b")]


def test_one_home_cannot_fill_the_list() -> None:
    waiting = WaitingList()
    taken = [add(waiting, 1, str(number)) for number in range(WAITING_PER_HOME_MAX + 1)]
    assert taken == [True] * WAITING_PER_HOME_MAX + [False]
    assert add(waiting, 2, "another")
    assert add(waiting, 1, "0")  # again, not more


def test_the_list_is_bounded_over_all_homes() -> None:
    waiting = WaitingList()
    homes = WAITING_MAX // WAITING_PER_HOME_MAX
    for home in range(1, homes + 1):
        for number in range(WAITING_PER_HOME_MAX):
            assert add(waiting, home, str(number))
    assert not add(waiting, homes + 1, "one more")
    assert len(waiting) == WAITING_MAX
    assert waiting.first() is not None  # and nothing was pushed out
    assert (builders.did(homes + 1), builders.job_id(builders.did(homes + 1), "one more"), 1) not in waiting


def test_what_waits_in_vain_goes_and_leaves_no_turn() -> None:
    waiting = WaitingList()
    add(waiting, 1, "a")
    add(waiting, 2, "b")
    waiting.remove(builders.did(1), lambda message: message == announced(1, "a"))
    waiting.remove_home(builders.did(3))
    assert served(waiting) == [announced(2, "b")]
    add(waiting, 1, "a")
    waiting.remove_home(builders.did(1))
    assert waiting.first() is None


def test_who_is_announced_again_has_waited_since_the_first_time() -> None:
    waiting = WaitingList()
    add(waiting, 1, "a")
    waiting.add(builders.did(1), announced(1, "a"), later(builders.START, Duration(5)))
    first = waiting.first()
    assert first is not None
    assert (first.home, first.since) == (builders.did(1), builders.START)
