import pytest

from icn.kernel.errors import PeerViolation
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.ping import PING_BYTES, Echo, Pinger

LIMITS = ConnectionLimits(ping_every_ms=100, ping_answer_ms_max=50)


def test_the_echo_gives_whole_payloads_back():
    echo = Echo()
    assert echo.receive(b"a" * 20) == b""
    assert echo.receive(b"b" * 50) == b"a" * 20 + b"b" * 44
    assert echo.receive(b"c" * 26) == b"b" * 6 + b"c" * 26


def test_a_ping_is_measured_and_the_next_is_due_later():
    pinger = Pinger(b"secret", LIMITS, now=0)
    assert pinger.due(0)
    pinger.begin(0)
    assert not pinger.due(0)
    payload = pinger.payload(5)
    assert len(payload) == PING_BYTES
    assert pinger.receive(payload[:10], 6) is None
    assert pinger.receive(payload[10:], 12) == 7
    assert not pinger.due(111)
    assert pinger.due(112)
    pinger.begin(112)
    assert pinger.payload(112) != payload


def test_a_ping_that_takes_too_long_expires():
    pinger = Pinger(b"secret", LIMITS, now=0)
    pinger.begin(0)
    assert not pinger.expired(50)
    assert pinger.expired(51)
    pinger.rest(51)
    assert not pinger.expired(1000)


@pytest.mark.parametrize("echoed", [b"x", bytes(PING_BYTES)])
def test_a_wrong_echo_is_a_violation(echoed):
    pinger = Pinger(b"secret", LIMITS, now=0)
    pinger.begin(0)
    pinger.payload(0)
    with pytest.raises(PeerViolation, match="differs"):
        pinger.receive(echoed, 1)


def test_an_echo_of_nothing_or_of_too_much_is_a_violation():
    pinger = Pinger(b"secret", LIMITS, now=0)
    with pytest.raises(PeerViolation):
        pinger.receive(b"x", 0)
    pinger.begin(0)
    with pytest.raises(PeerViolation):
        pinger.receive(pinger.payload(0) + b"x", 1)
