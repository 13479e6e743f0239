import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.multistream import HEADER, line
from icn.protocol.libp2p.noise import Role
from icn.protocol.libp2p.upgrade import Upgrade
from support.libp2p_pair import keys

LIMITS = ConnectionLimits()


def upgrade(role: Role, number: int, *, early: bool = True) -> Upgrade:
    return Upgrade(role, keys(number), LIMITS, expected=None, early_muxer=early)


@pytest.mark.parametrize("step", [1, 10_000])
@pytest.mark.parametrize(("one_early", "two_early"), [(True, True), (True, False), (False, True), (False, False)])
def test_both_paths_to_a_multiplexer_lead_there(one_early, two_early, step):
    one, two = upgrade(Role.INITIATOR, 1, early=one_early), upgrade(Role.RESPONDER, 2, early=two_early)
    to_two, to_one = one.start(), b""
    trips = 0
    while (to_two or to_one) and trips < 20:
        to_one = b"".join(two.receive(to_two[at : at + step]) for at in range(0, len(to_two), step))
        to_two = b"".join(one.receive(to_one[at : at + step]) for at in range(0, len(to_one), step))
        trips += 1
    assert one.result
    assert two.result
    assert one.result.early_muxer == two.result.early_muxer == (one_early and two_early)
    assert one.result.established.peer == PeerId.of(keys(2).signer.did)
    assert two.result.established.peer == PeerId.of(keys(1).signer.did)
    assert two.result.channel.decrypt(one.result.channel.encrypt(b"hello")) == [b"hello"]


def test_what_comes_right_behind_the_handshake_is_kept():
    one, two = upgrade(Role.INITIATOR, 1), upgrade(Role.RESPONDER, 2)
    last = one.receive(two.receive(one.receive(two.receive(one.start()))))
    assert one.result
    two.receive(last + one.result.channel.encrypt(b"frames"))
    assert two.result
    assert b"".join(two.result.rest) == b"frames"


def test_a_peer_without_noise_is_left():
    with pytest.raises(PeerViolation, match="security"):
        upgrade(Role.INITIATOR, 1).receive(line(HEADER) + line(b"na"))


@pytest.mark.parametrize("proposed", [b"/plaintext/2.0.0", b"/tls/1.0.0"])
def test_other_security_is_not_available(proposed):
    answer = upgrade(Role.RESPONDER, 2).receive(line(HEADER) + line(proposed))
    assert answer == line(HEADER) + line(b"na")


@given(st.lists(st.binary(max_size=100)), st.sampled_from([b"", line(HEADER), line(HEADER) + line(b"/noise")]))
def test_nothing_but_violations_comes_of_garbage(chunks, before):
    for role in Role:
        machine = upgrade(role, 1)
        machine.start()
        try:
            machine.receive(before)
            for chunk in chunks:
                machine.receive(chunk)
        except (PeerViolation, Invalid):
            pass
