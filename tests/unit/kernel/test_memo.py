import sys
from concurrent.futures import ThreadPoolExecutor

from icn.kernel.memo import Memo


def test_the_oldest_entries_go_first_and_no_more_are_kept_than_the_bound() -> None:
    memo: Memo[int, str] = Memo(3)
    for number in range(5):
        memo.put(number, str(number))
    assert [memo.get(number) for number in range(5)] == [None, None, "2", "3", "4"]
    assert len(memo) == 3


def test_several_threads_may_fill_it() -> None:
    memo: Memo[tuple[int, int], int] = Memo(50)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda thread: [memo.put((thread, n), n) for n in range(2000)], range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert len(memo) <= 50 + 4


def test_an_entry_that_comes_again_keeps_its_place_and_gets_the_newer_value() -> None:
    memo: Memo[str, int] = Memo(2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        memo.put(key, value)
    assert [memo.get(key) for key in "abc"] == [None, 2, 4]
