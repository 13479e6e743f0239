"""Operators of both sides read which node is the older one."""

import pytest

from icn.protocol.versions import SPOKEN_SHOWN_MAX, mismatch

FEED = "/icn/feed/1"


@pytest.mark.parametrize(
    ("spoken", "says"),
    [
        (["/icn/feed/0"], "speaks /icn/feed/0, this node /icn/feed/1: that node is to be upgraded"),
        (["/icn/feed/9"], "speaks /icn/feed/9, this node /icn/feed/1: upgrade this node"),
        (["/icn/feed/3", "/icn/feed/2"], "speaks /icn/feed/2, /icn/feed/3, this node /icn/feed/1: upgrade this node"),
        (["/ipfs/ping/1.0.0", "/icn/feed/0"], "speaks /icn/feed/0, this node /icn/feed/1: that node is to be upgraded"),
    ],
)
def test_the_older_side_is_named(spoken, says):
    assert mismatch(FEED, spoken) == says


@pytest.mark.parametrize("spoken", [[], ["/ipfs/ping/1.0.0"], ["/icn/feed"], ["/icn/feed/x"], ["/icn/feeder/1"], ["9"]])
def test_a_stranger_is_no_older_node(spoken):
    assert mismatch(FEED, spoken).startswith("does not speak /icn/feed: ")


def test_two_nodes_that_meet_blame_the_same_one():
    assert mismatch("/icn/feed/1", ["/icn/feed/2"]).endswith("upgrade this node")
    assert mismatch("/icn/feed/2", ["/icn/feed/1"]).endswith("that node is to be upgraded")


def test_whoever_names_very_many_versions_fills_no_log():
    said = mismatch(FEED, [f"/icn/feed/{number}" for number in range(2, 200)])
    assert said.count("/icn/feed/") == SPOKEN_SHOWN_MAX + 1


def test_a_number_beyond_reason_is_no_version():
    assert mismatch(FEED, ["/icn/feed/" + "9" * 5000]).startswith("does not speak")
