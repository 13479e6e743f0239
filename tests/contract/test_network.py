"""The contract of `icn.adapters.network.ports`, the same suite for every adapter."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from icn.adapters.network.dialing import DialFailed
from icn.adapters.network.gossip import PublicationDropped
from icn.adapters.network.ports import Delivery, DialPhase, Direction, ListenFailed, Origin
from icn.kernel.errors import Invalid
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.libp2p.gossipsub.settings import PAYLOAD_BYTES_MAX
from icn.protocol.libp2p.multiaddr import Multiaddr
from support.libp2p_network import (
    MESSAGE_BYTES_MAX,
    OTHER,
    PROTOCOL,
    QUICK_DISCOVERY,
    AnyNetwork,
    Recorder,
    World,
    eventually,
    peer_of,
)

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["libp2p-asyncio", "libp2p-uvloop", "loopback-asyncio"])
def play(request: pytest.FixtureRequest) -> Callable[[Callable[[World], Awaitable[None]]], None]:
    """Runs a scene in a world of one kind, and stops everything afterwards."""
    kind, loop = request.param.split("-")

    def run(scene: Callable[[World], Awaitable[None]]) -> None:
        async def within() -> None:
            async with World(kind) as world:
                await scene(world)

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(within())

    return run


def test_both_sides_learn_of_each_other(play):
    async def scene(world):
        b, b_told = await world.start("b")
        a, a_told = await world.start("a", *b.listen_addresses)
        await a_told.until(lambda: len(a_told.ups) == 1)
        await b_told.until(lambda: len(b_told.ups) == 1)
        assert [peer for peer, _ in a_told.ups] == [b.peer_id]
        assert [peer for peer, _ in b_told.ups] == [a.peer_id]
        [shown] = a.peers()
        assert (shown.peer, shown.direction) == (peer_of("b"), Direction.DIALLED)
        assert [peer.direction for peer in b.peers()] == [Direction.ACCEPTED]

    play(scene)


def test_each_side_says_what_it_speaks(play):
    async def scene(world):
        b, b_told = await world.start("b", protocols={OTHER: 100})
        a, a_told = await world.start("a", *b.listen_addresses)
        await a_told.until(lambda: b.peer_id in a_told.spoken)
        await b_told.until(lambda: a.peer_id in b_told.spoken)
        assert OTHER in a_told.spoken[b.peer_id]
        assert PROTOCOL not in a_told.spoken[b.peer_id]
        assert {PROTOCOL, OTHER} <= set(b_told.spoken[a.peer_id])

    play(scene)


def test_listen_addresses_are_real_and_name_us(play):
    async def scene(world):
        a, _ = await world.start("a")
        [address] = map(Multiaddr.parse, a.listen_addresses)
        assert address.port != 0
        assert address.peer == a.peer_id
        assert address.host != "0.0.0.0"

    play(scene)


def test_messages_arrive_once_in_order_under_their_protocol(play):
    async def scene(world):
        b, b_told = await world.start("b")
        a, a_told = await world.start("a", *b.listen_addresses)
        await a_told.until(lambda: a_told.ups)
        sent = [b"%d" % number for number in range(300)]
        assert all(a.send(b.peer_id, PROTOCOL, payload) for payload in sent)
        assert a.send(b.peer_id, OTHER, b"")
        await b_told.until(lambda: len(b_told.messages) == 301)
        assert [payload for _, protocol, payload in b_told.messages if protocol == PROTOCOL] == sent
        assert (a.peer_id, OTHER, b"") in b_told.messages

    play(scene)


def test_both_sides_send_the_longest_message_at_the_same_time(play):
    async def scene(world):
        b, b_told = await world.start("b")
        a, a_told = await world.start("a", *b.listen_addresses)
        await a_told.until(lambda: a_told.ups)
        await b_told.until(lambda: b_told.ups)
        longest = bytes(range(256)) * (MESSAGE_BYTES_MAX // 256)
        for _ in range(3):
            assert a.send(b.peer_id, PROTOCOL, longest)
            assert b.send(a.peer_id, PROTOCOL, longest)
        await a_told.until(lambda: len(a_told.messages) == 3)
        await b_told.until(lambda: len(b_told.messages) == 3)
        assert all(payload == longest for _, _, payload in a_told.messages + b_told.messages)

    play(scene)


def test_a_message_that_is_too_long_or_of_no_protocol_is_an_error(play):
    async def scene(world):
        a, _ = await world.start("a")
        with pytest.raises(Invalid):
            a.send(peer_of("b"), OTHER, bytes(1025))
        with pytest.raises(Invalid):
            a.send(peer_of("b"), "/icn/unheard/1", b"")

    play(scene)


def test_nothing_is_taken_for_a_peer_that_is_not_connected(play):
    async def scene(world):
        a, _ = await world.start("a")
        assert not a.send(peer_of("b"), PROTOCOL, b"hello")

    play(scene)


def test_a_full_queue_refuses_and_other_peers_do_not_notice(play):
    async def scene(world):
        b, _ = await world.start("b")
        c, c_told = await world.start("c")
        a, a_told = await world.start(
            "a", *b.listen_addresses, *c.listen_addresses, peer_queue_bytes_max=2 * MESSAGE_BYTES_MAX
        )
        await a_told.until(lambda: len(a_told.ups) == 2)
        taken = [a.send(b.peer_id, PROTOCOL, bytes(MESSAGE_BYTES_MAX)) for _ in range(4)]
        assert taken[0]
        assert not taken[-1]
        assert a.send(c.peer_id, PROTOCOL, b"through")
        await c_told.until(lambda: c_told.messages)

    play(scene)


def test_a_peer_that_does_not_speak_a_protocol_gets_nothing_under_it(play):
    async def scene(world):
        b, b_told = await world.start("b", protocols={PROTOCOL: 100})
        a, a_told = await world.start("a", *b.listen_addresses)
        await a_told.until(lambda: a_told.ups)
        a.send(b.peer_id, OTHER, b"what")
        await eventually(lambda: not a.send(b.peer_id, OTHER, b"what"))
        assert a.send(b.peer_id, PROTOCOL, b"this")
        await b_told.until(lambda: b_told.messages)
        assert b_told.messages == [(a.peer_id, PROTOCOL, b"this")]
        assert not b_told.downs

    play(scene)


def test_disconnect_is_told_on_both_sides_and_the_dialler_comes_back(play):
    async def scene(world):
        b, b_told = await world.start("b")
        a, a_told = await world.start("a", *b.listen_addresses)
        await b_told.until(lambda: b_told.ups)
        b.disconnect(a.peer_id, "enough")
        await b_told.until(lambda: len(b_told.downs) == 1)
        await a_told.until(lambda: len(a_told.downs) == 1)
        assert b_told.downs[0] == (a.peer_id, "enough")
        await b_told.until(lambda: len(b_told.ups) == 2)
        assert b_told.downs == [(a.peer_id, "enough")]

    play(scene)


def test_disconnecting_a_stranger_does_nothing(play):
    async def scene(world):
        a, _ = await world.start("a")
        a.disconnect(peer_of("b"), "unknown")
        assert a.peers() == []

    play(scene)


def test_an_address_where_nobody_listens_is_dialled_until_somebody_does(play):
    async def scene(world):
        b, _ = await world.start("b")
        [address] = b.listen_addresses
        await b.stop()
        world.networks.remove(b)
        a, a_told = await world.start("a", address)
        await eventually(lambda: a.dial_states()[0].attempts >= 3)
        [state] = a.dial_states()
        assert state.address == address
        assert state.state in {DialPhase.WAITING, DialPhase.CONNECTING}
        assert state.last_error
        back, _ = await world.start("b", listen=(Multiaddr.parse(address.partition("/p2p/")[0]),))
        await a_told.until(lambda: a_told.ups)
        await eventually(lambda: a.dial_states()[0].state is DialPhase.CONNECTED)
        assert a.dial_states()[0].last_error is None
        assert [peer.peer for peer in a.peers()] == [back.peer_id]

    play(scene)


def test_another_peer_than_expected_is_not_accepted(play):
    async def scene(world):
        b, b_told = await world.start("b")
        [address] = b.listen_addresses
        wrong = address.replace(str(b.peer_id), str(peer_of("somebody else")))
        a, a_told = await world.start("a", wrong)
        await eventually(lambda: a.dial_states()[0].attempts >= 2)
        assert "expected" in a.dial_states()[0].last_error
        assert not a_told.ups
        assert not b_told.ups

    play(scene)


def test_our_own_address_is_never_a_peer(play):
    async def scene(world):
        a, a_told = await world.start("a")
        [address] = a.listen_addresses
        a.dial(Multiaddr.parse(address.partition("/p2p/")[0]), Origin.REQUESTED)
        await eventually(lambda: a.dial_states()[0].attempts >= 2)
        assert "our own" in a.dial_states()[0].last_error
        assert not a_told.ups

    play(scene)


def test_two_nodes_that_dial_each_other_end_with_one_connection(play):
    async def scene(world):
        b, b_told = await world.start("b")
        a, a_told = await world.start("a")
        a.dial(Multiaddr.parse(b.listen_addresses[0]), Origin.REQUESTED)
        b.dial(Multiaddr.parse(a.listen_addresses[0]), Origin.REQUESTED)
        await a_told.until(lambda: a_told.ups)
        await b_told.until(lambda: b_told.ups)
        for number in range(50):
            assert a.send(b.peer_id, PROTOCOL, b"%d" % number)
            assert b.send(a.peer_id, PROTOCOL, b"%d" % number)
            await asyncio.sleep(0)
        await a_told.until(lambda: len(a_told.messages) == 50)
        await b_told.until(lambda: len(b_told.messages) == 50)
        assert len(a_told.ups) == len(b_told.ups) == 1
        assert not a_told.downs
        assert not b_told.downs
        kept = {a.peers()[0].direction, b.peers()[0].direction}
        assert kept == {Direction.DIALLED, Direction.ACCEPTED}

    play(scene)


def test_an_address_in_use_is_one_clear_line(play):
    async def scene(world):
        a, _ = await world.start("a")
        taken = Multiaddr.parse(a.listen_addresses[0].partition("/p2p/")[0])
        b = world.make("b", listen=(taken,))
        with pytest.raises(ListenFailed, match="cannot listen on"):
            await b.start(Recorder())

    play(scene)


def test_an_exception_in_a_callback_reaches_the_loop_and_spares_the_connection(play):
    async def scene(world):
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        b, b_told = await world.start("b")

        def fail(_peer: PeerId, _protocol: str, payload: bytes) -> None:
            if payload == b"bad":
                raise RuntimeError("a bug")

        b_told.on_message = fail
        a, a_told = await world.start("a", *b.listen_addresses)
        await a_told.until(lambda: a_told.ups)
        a.send(b.peer_id, PROTOCOL, b"bad")
        a.send(b.peer_id, PROTOCOL, b"good")
        await b_told.until(lambda: len(b_told.messages) == 2)
        assert [str(error) for error in reported] == ["a bug"]
        assert not b_told.downs

    play(scene)


def test_after_stop_nothing_is_told_and_others_learn_of_it(play):
    async def scene(world):
        b, b_told = await world.start("b")
        a, a_told = await world.start("a", *b.listen_addresses)
        await b_told.until(lambda: b_told.ups)
        await a.stop()
        world.networks.remove(a)
        told = (len(a_told.ups), len(a_told.downs), len(a_told.messages))
        b.send(a.peer_id, PROTOCOL, b"too late")
        await b_told.until(lambda: b_told.downs)
        assert (len(a_told.ups), len(a_told.downs), len(a_told.messages)) == told
        assert b.peers() == []

    play(scene)


TOPIC = "/icn/test/blocks/1"


def accepting(network: AnyNetwork, told: Recorder, verdict: Verdict = Verdict.ACCEPT) -> None:
    """Judge everything at once."""
    told.on_delivery = lambda delivery: network.judge(delivery.token, verdict)
    network.subscribe(TOPIC)


def test_a_publication_reaches_everybody_who_subscribed_once_over_those_who_accept_it(play):
    async def scene(world):
        b, b_told = await world.start("b")
        a, a_told = await world.start("a", *b.listen_addresses)
        c, c_told = await world.start("c", *b.listen_addresses)
        for network, told in ((a, a_told), (b, b_told), (c, c_told)):
            accepting(network, told)
        await eventually(lambda: b.gossip().mesh == {TOPIC: 2})
        assert a.publish(TOPIC, b"news") == 1
        await c_told.until(lambda: c_told.deliveries)
        [delivery] = c_told.deliveries
        assert (delivery.topic, delivery.payload) == (TOPIC, b"news")
        assert (delivery.author, delivery.bearer) == (a.peer_id, b.peer_id)
        assert [one.payload for one in b_told.deliveries] == [b"news"]
        assert a_told.deliveries == []
        assert b.gossip().verdicts["accept"] == 1

    play(scene)


@pytest.mark.parametrize("verdict", [Verdict.IGNORE, Verdict.REJECT])
def test_what_is_not_accepted_stays_where_it_is(play, verdict):
    async def scene(world):
        b, b_told = await world.start("b")
        a, a_told = await world.start("a", *b.listen_addresses)
        c, c_told = await world.start("c", *b.listen_addresses)
        accepting(a, a_told)
        accepting(c, c_told)
        b_told.on_delivery = lambda delivery: b.judge(
            delivery.token, Verdict.ACCEPT if delivery.payload == b"good" else verdict
        )
        b.subscribe(TOPIC)
        await eventually(lambda: b.gossip().mesh == {TOPIC: 2})
        a.publish(TOPIC, b"doubtful")
        a.publish(TOPIC, b"good")
        if verdict is Verdict.IGNORE:  # otherwise b listens to a no more
            await c_told.until(lambda: c_told.deliveries)
            assert [one.payload for one in c_told.deliveries] == [b"good"]
        else:
            await b_told.until(lambda: b_told.deliveries)
            await eventually(lambda: any((peer.score or 0) < 0 for peer in b.peers()))
        assert all(one.payload == b"good" for one in c_told.deliveries)

    play(scene)


def test_who_brings_what_can_never_be_valid_is_let_go_and_not_listened_to(play):
    async def scene(world):
        b, b_told = await world.start("b")
        a, a_told = await world.start("a", *b.listen_addresses)
        accepting(a, a_told)
        accepting(b, b_told, Verdict.REJECT)
        await eventually(lambda: b.gossip().mesh == {TOPIC: 1})
        for number in range(7):
            a.publish(TOPIC, b"bad %d" % number)
        await b_told.until(lambda: b_told.downs)
        assert b_told.downs == [(a.peer_id, "its score in the gossip is too low")]
        assert len(b_told.deliveries) <= 7

    play(scene)


def test_a_subscription_made_before_the_start_holds_and_who_did_not_subscribe_is_told_nothing(play):
    async def scene(world):
        b, b_told = world.make("b"), Recorder()
        b.subscribe(TOPIC)
        await b.start(b_told)
        a, a_told = await world.start("a", *b.listen_addresses)
        _, c_told = await world.start("c", *b.listen_addresses)
        await c_told.until(lambda: c_told.ups)
        await a_told.until(lambda: a_told.ups)
        await eventually(lambda: a.publish(TOPIC, b"to whom it may concern") > 0)
        await b_told.until(lambda: b_told.deliveries)
        assert c_told.deliveries == a_told.deliveries == []

    play(scene)


def test_the_longest_publication_arrives_and_a_longer_one_is_an_error(play):
    async def scene(world):
        b, b_told = await world.start("b")
        a, a_told = await world.start("a", *b.listen_addresses)
        accepting(a, a_told)
        accepting(b, b_told)
        await eventually(lambda: a.gossip().mesh == {TOPIC: 1})
        longest = bytes(range(256)) * (PAYLOAD_BYTES_MAX // 256)
        with pytest.raises(Invalid):
            a.publish(TOPIC, longest + b"!")
        assert a.publish(TOPIC, longest) == 1
        await b_told.until(lambda: b_told.deliveries)
        assert b_told.deliveries[0].payload == longest

    play(scene)


def test_a_publication_to_nobody_is_told_to_the_publisher_and_one_without_room_is_an_error(play):
    async def scene(world):
        b, b_told = await world.start("b")
        a, a_told = await world.start("a", *b.listen_addresses, peer_queue_bytes_max=1_000_000)
        accepting(a, a_told)
        assert a.publish(TOPIC, b"nobody") == 0
        accepting(b, b_told)
        await eventually(lambda: a.gossip().mesh == {TOPIC: 1})
        assert a.publish(TOPIC, bytes(900_000)) == 1
        with pytest.raises(PublicationDropped):
            a.publish(TOPIC, bytes(900_000))
        assert a.gossip().dropped >= 1

    play(scene)


def test_who_unsubscribes_is_told_nothing_more_and_the_others_know(play):
    async def scene(world):
        b, b_told = await world.start("b")
        a, a_told = await world.start("a", *b.listen_addresses)
        accepting(a, a_told)
        accepting(b, b_told)
        await eventually(lambda: a.gossip().mesh == b.gossip().mesh == {TOPIC: 1})
        b.unsubscribe(TOPIC)
        b.unsubscribe(TOPIC)
        assert b.gossip().mesh == {}
        await eventually(lambda: a.gossip().mesh == {TOPIC: 0})
        assert a.publish(TOPIC, b"to nobody") == 0
        assert b_told.deliveries == []

    play(scene)


def test_a_peer_shows_its_score_once_it_is_known_to_speak_the_protocol(play):
    async def scene(world):
        b, b_told = await world.start("b")
        a, a_told = await world.start("a", *b.listen_addresses)
        accepting(a, a_told)
        accepting(b, b_told)
        await eventually(lambda: b.gossip().mesh == {TOPIC: 1})
        a.publish(TOPIC, b"news")
        await b_told.until(lambda: b_told.deliveries)
        await eventually(lambda: (b.peers()[0].score or 0) >= 1_000)

    play(scene)


def test_an_exception_from_a_delivery_reaches_the_loop_and_spares_the_connection(play):
    async def scene(world):
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        b, b_told = await world.start("b")
        a, a_told = await world.start("a", *b.listen_addresses)
        accepting(a, a_told)
        accepting(b, b_told)
        await eventually(lambda: a.gossip().mesh == {TOPIC: 1})

        def fail(delivery: Delivery) -> None:
            if delivery.payload == b"bad":
                raise RuntimeError("a bug")

        b_told.on_delivery = fail
        a.publish(TOPIC, b"bad")
        a.publish(TOPIC, b"good")
        await b_told.until(lambda: len(b_told.deliveries) == 2)
        assert [str(error) for error in reported] == ["a bug"]
        assert not b_told.downs

    play(scene)


def test_gossip_goes_on_over_the_connection_that_is_kept_when_two_dial_each_other(play):
    async def scene(world):
        b, b_told = await world.start("b")
        a, a_told = await world.start("a")
        accepting(a, a_told)
        accepting(b, b_told)
        a.dial(Multiaddr.parse(b.listen_addresses[0]), Origin.REQUESTED)
        b.dial(Multiaddr.parse(a.listen_addresses[0]), Origin.REQUESTED)
        await eventually(lambda: a.gossip().mesh == {TOPIC: 1} and b.gossip().mesh == {TOPIC: 1})
        for number in range(20):
            a.publish(TOPIC, b"%d" % number)
            await asyncio.sleep(0)
        await b_told.until(lambda: len(b_told.deliveries) == 20)
        assert b.publish(TOPIC, b"back") == 1
        await a_told.until(lambda: a_told.deliveries)

    play(scene)


def test_who_is_asked_for_is_found_through_others(play):
    async def scene(world):
        b, b_told = await world.start("b")
        c, _ = await world.start("c", *b.listen_addresses)
        a, a_told = await world.start("a", *b.listen_addresses, discovery=QUICK_DISCOVERY, peers_low=0)
        await a_told.until(lambda: a_told.ups)
        await b_told.until(lambda: len(b_told.ups) == 2)
        await eventually(lambda: all(peer.protocols for network in (a, b) for peer in network.peers()))
        [address] = c.listen_addresses
        assert Multiaddr.parse(address.partition("/p2p/")[0]) in await a.find(c.peer_id)
        assert await a.find(peer_of("nobody")) == ()

    play(scene)


def test_how_an_address_became_known_is_shown(play):
    async def scene(world):
        b, b_told = await world.start("b")
        c, _ = await world.start("c")
        a, a_told = await world.start("a", *b.listen_addresses)
        a.dial(Multiaddr.parse(c.listen_addresses[0]), Origin.INVITED)
        await a_told.until(lambda: len(a_told.ups) == 2)
        assert {peer.peer: peer.origin for peer in a.peers()} == {
            b.peer_id: Origin.BOOTSTRAP,
            c.peer_id: Origin.INVITED,
        }
        assert [state.origin for state in a.dial_states()] == [Origin.BOOTSTRAP, Origin.INVITED]
        await b_told.until(lambda: b_told.ups)
        assert [peer.origin for peer in b.peers()] == [None]

    play(scene)


def test_an_address_that_is_asked_for_is_connected_when_the_answer_comes_and_kept_so(play):
    async def scene(world):
        b, b_told = await world.start("b")
        a, _ = await world.start("a")
        address = Multiaddr.parse(b.listen_addresses[0])
        assert await a.connect(address) == b.peer_id
        assert [(peer.peer, peer.origin) for peer in a.peers()] == [(b.peer_id, Origin.REQUESTED)]
        assert await a.connect(address) == b.peer_id
        await b_told.until(lambda: b_told.ups)
        b.disconnect(a.peer_id, "enough")
        await b_told.until(lambda: len(b_told.ups) == 2)
        assert [state.origin for state in a.dial_states()] == [Origin.REQUESTED]

    play(scene)


def test_an_address_where_nobody_answers_is_an_error_and_is_not_kept(play):
    async def scene(world):
        b, _ = await world.start("b")
        address = Multiaddr.parse(b.listen_addresses[0])
        await b.stop()
        world.networks.remove(b)
        a, _ = await world.start("a")
        with pytest.raises(DialFailed) as failed:
            await a.connect(address)
        assert not failed.value.lasting
        with pytest.raises(DialFailed, match="our own") as failed:
            await a.connect(Multiaddr.parse(a.listen_addresses[0]))
        assert failed.value.lasting
        assert a.dial_states() == []

    play(scene)
