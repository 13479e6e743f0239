from dataclasses import dataclass
from typing import Any

import pytest

from icn.adapters.network.admission import Admission
from icn.adapters.network.settings import NetworkSettings

SETTINGS = NetworkSettings(
    listen=(),
    connections_per_address_max=2,
    handshakes_max=4,
    handshakes_per_address_max=2,
)


@dataclass(eq=False)
class From:
    """All that admission looks at of a link: where it comes from."""

    host: str


def arrive(admission: Admission, link: Any) -> Any:
    return admission.arrive(link)


def test_the_oldest_handshake_of_an_address_goes_for_a_newer_one():
    admission = Admission(SETTINGS)
    links: list[Any] = [From("192.0.2.1") for _ in range(3)]
    assert [arrive(admission, link) for link in links] == [None, None, links[0]]


def test_the_oldest_handshake_of_all_goes_when_there_are_too_many():
    admission = Admission(SETTINGS)
    links: list[Any] = [From(f"192.0.2.{number}") for number in range(5)]
    assert [arrive(admission, link) for link in links] == [None] * 4 + [links[0]]


def test_an_established_connection_is_not_evicted_but_the_newcomer_refused():
    admission = Admission(SETTINGS)
    links: list[Any] = [From("192.0.2.1") for _ in range(3)]
    for link in links:
        admission.arrive(link)
    assert [admission.establish(link) for link in links] == [None, None, "too many connections from one address"]
    admission.leave(links[0])
    assert admission.establish(links[2]) is None


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_who_counts_as_one_address(one, two, same):
    admission = Admission(SETTINGS)
    first: list[Any] = [From(one), From(one)]
    for link in first:
        admission.arrive(link)
    assert (arrive(admission, From(two)) is not None) == same
