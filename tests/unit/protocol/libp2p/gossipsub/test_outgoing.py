from icn.kernel.limits import MIB
from icn.protocol.libp2p.gossipsub.outgoing import Outgoing
from icn.protocol.libp2p.gossipsub.rpc import Graft, Rpc, Subscription, decode
from icn.protocol.libp2p.gossipsub.settings import ADVERTISED_IDS_MAX
from support.gossip_talk import peer

ANN, BOB = peer("ann"), peer("bob")


def test_everything_for_one_peer_goes_in_one_rpc():
    out = Outgoing(1_000)
    out.control(ANN, Graft("t"))
    out.message(BOB, b"m")
    out.message(ANN, b"m")
    out.subscription(ANN, Subscription("t", subscribe=True))
    first, second = out.take()
    assert (first.peer, second.peer) == (ANN, BOB)
    assert decode(first.data) == Rpc((Subscription("t", subscribe=True),), (b"m",), (Graft("t"),))
    assert decode(second.data) == Rpc(messages=(b"m",))
    assert out.take() == []


def test_messages_that_are_too_many_for_one_rpc_go_in_several():
    out = Outgoing(1_000)
    for number in range(10):
        out.message(ANN, bytes([number]) * 200)
    out.control(ANN, Graft("t"))
    sent = [decode(one.data) for one in out.take()]
    assert [message[0] for rpc in sent for message in rpc.messages] == list(range(10))
    assert [len(rpc.messages) for rpc in sent] == [3, 3, 3, 1]
    assert [len(rpc.controls) for rpc in sent] == [1, 0, 0, 0]
    out.message(ANN, bytes(5_000))
    assert len(out.take()) == 1


def test_very_many_small_messages_go_in_several_rpcs_too():
    """What a node answers to one IWANT of thousands of ids must not end the stream that it answers on."""
    out = Outgoing(4 * MIB)
    messages = [b"%d" % number for number in range(ADVERTISED_IDS_MAX)]
    for message in messages:
        out.message(peer("ann"), message)
    rpcs = [decode(sent.data) for sent in out.take()]
    assert [message for rpc in rpcs for message in rpc.messages] == messages
    assert max(len(rpc.messages) for rpc in rpcs) <= 1024


def test_nothing_is_said_to_who_is_gone():
    out = Outgoing(1_000)
    out.message(ANN, b"m")
    out.forget(ANN)
    assert out.take() == []
