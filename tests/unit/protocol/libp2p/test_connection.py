import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import InvariantBroken
from icn.protocol.libp2p.connection import State
from icn.protocol.libp2p.events import (
    Closed,
    Identified,
    Measured,
    Ready,
    StreamData,
    StreamEnded,
    StreamOpened,
    StreamRefused,
    StreamReset,
)
from icn.protocol.libp2p.framing import framed
from icn.protocol.libp2p.identify import IDENTIFY, PUSH, encode
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.multistream import HEADER as MULTISTREAM
from icn.protocol.libp2p.multistream import line
from icn.protocol.libp2p.ping import Echo
from icn.protocol.libp2p.yamux import HEADER
from support.libp2p_pair import ECHO, Pair, about


def opened(limits: ConnectionLimits | None = None) -> tuple[Pair, int]:
    """A pair with one agreed stream of `one`'s."""
    pair = Pair(limits)
    pair.settle()
    stream = pair.one.machine.open_stream(ECHO, pair.now)
    assert stream is not None
    pair.settle()
    return pair, stream


def inject(pair: Pair, frames: bytes) -> None:
    """Let `one` say to `two` what no machine of ours would."""
    channel = pair.one.machine._channel
    assert channel
    pair.two.events += pair.two.machine.receive(channel.encrypt(frames), pair.now)


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_a_connection_from_nothing_to_knowing_each_other(early, step):
    pair = Pair(early_two=early)
    pair.settle(step)
    pair.tick(1)
    pair.settle(step)
    for side, other in ((pair.one, 2), (pair.two, 1)):
        [ready] = side.told(Ready)
        assert (ready.peer, ready.early_muxer) == (pair.peer_of(other), early)
        [identified] = side.told(Identified)
        assert identified.said.agent == f"side-{other}"
        assert len(side.told(Measured)) == 1
        assert not side.machine._uses, "nothing is kept of streams that are done"


def test_a_stream_both_ways_to_its_end():
    pair, stream = opened()
    pair.one.machine.write(stream, b"question")
    pair.one.machine.close_stream(stream)
    pair.settle()
    assert pair.two.told(StreamOpened) == [StreamOpened(stream, ECHO, inbound=True)]
    assert pair.two.told(StreamData) == [StreamData(stream, b"question")]
    assert pair.two.told(StreamEnded) == [StreamEnded(stream)]
    pair.two.machine.write(stream, b"answer")
    pair.two.machine.close_stream(stream)
    pair.settle()
    assert pair.one.told(StreamData) == [StreamData(stream, b"answer")]
    assert not pair.one.machine._uses
    assert not pair.two.machine._uses


def test_an_unknown_protocol_is_refused_without_harm():
    pair, _ = opened()
    stream = pair.one.machine.open_stream("/icn/unheard/1", pair.now)
    pair.settle()
    assert pair.one.told(StreamRefused) == [StreamRefused(stream, "/icn/unheard/1")]
    assert pair.one.machine.state is pair.two.machine.state is State.OPEN


def test_a_reset_is_told_to_the_other_side_only():
    pair, stream = opened()
    pair.one.machine.reset_stream(stream)
    pair.settle()
    assert not pair.one.told(StreamReset)
    assert [event.stream for event in pair.two.told(StreamReset)] == [stream]


def test_writing_before_the_protocol_is_agreed_is_a_bug_of_ours():
    pair = Pair()
    pair.settle()
    stream = pair.one.machine.open_stream(ECHO, pair.now)
    with pytest.raises(InvariantBroken):
        pair.one.machine.write(stream, b"early")


def test_another_peer_than_expected_closes_the_connection():
    pair = Pair(expected=Pair.peer_of(7))
    pair.settle()
    [closed] = pair.one.told(Closed)
    assert closed.violation
    assert "was expected" in closed.reason
    assert not pair.one.told(Ready)


def test_a_handshake_that_takes_too_long_is_given_up():
    pair = Pair()
    pair.tick(ConnectionLimits().handshake_ms_max)
    assert "handshake" in pair.one.told(Closed)[0].reason
    assert "handshake" in pair.two.told(Closed)[0].reason


def test_a_silent_peer_is_given_up_and_an_idle_one_is_not():
    limits = ConnectionLimits()
    pair, _ = opened()
    for _ in range(20):
        pair.tick(limits.ping_every_ms)
        pair.settle()
    assert not pair.one.told(Closed)
    assert len(pair.one.told(Measured)) >= 10
    for _ in range(10):
        pair.tick(limits.ping_every_ms)
    assert [closed.reason for closed in pair.one.told(Closed)] == ["the peer has fallen silent"]


def pass_pings(pair: Pair, stream: int, count: int, mute: Callable[[int], bool], monkeypatch: Any) -> int:
    """Let both talk while pings come and go; `mute` says which are not answered. Gives how many there were."""
    limits = ConnectionLimits()
    receive = Echo.receive
    for number in range(count):
        monkeypatch.setattr(Echo, "receive", (lambda *_: b"") if mute(number) else receive)
        for wait in (limits.ping_every_ms, limits.ping_answer_ms_max + 1):
            pair.tick(wait)
            if pair.one.told(Closed):
                return number
            pair.two.machine.write(stream, b"chatter")
            pair.settle()
    return count


def test_a_peer_that_talks_and_answers_no_pings_is_given_up(monkeypatch):
    pair, stream = opened()
    pings = pass_pings(pair, stream, 20, lambda _: True, monkeypatch)
    [closed] = pair.one.told(Closed)
    assert closed.reason == "the peer answers no pings"
    assert not closed.violation
    assert pings <= ConnectionLimits().pings_lost_max


def test_a_lost_ping_now_and_then_is_forgiven(monkeypatch):
    pair, stream = opened()
    assert pass_pings(pair, stream, 20, lambda number: number % 3 != 2, monkeypatch) == 20
    assert len(pair.one.told(Measured)) >= 6


def test_while_nothing_is_admitted_streams_of_the_peer_are_reset_and_ours_work():
    pair = Pair()
    pair.settle()
    pair.two.machine._admits = lambda: False
    refused = pair.one.machine.open_stream(ECHO, pair.now)
    pair.settle()
    assert [event.stream for event in pair.one.told(StreamReset)] == [refused]
    assert not pair.two.told(StreamOpened)
    ours = pair.two.machine.open_stream(ECHO, pair.now)
    pair.settle()
    assert pair.two.told(StreamOpened) == [StreamOpened(ours, ECHO, inbound=False)]
    assert pair.two.machine.state is State.OPEN


def test_a_stream_without_a_protocol_is_given_up():
    pair, _ = opened()
    inject(pair, HEADER.pack(0, 1, 1, 99, 0))
    pair.tick(ConnectionLimits().negotiation_ms_max)
    assert 99 not in pair.two.machine._uses
    assert pair.two.machine.state is State.OPEN


@pytest.mark.parametrize("said", [b"\x00", b"\xff" * 30, line(MULTISTREAM) + b"\x05abcde", line(b"/other")])
def test_a_bad_negotiation_costs_its_stream_only(said):
    pair, stream = opened()
    inject(pair, HEADER.pack(0, 0, 1, 99, len(said)) + said)
    assert pair.two.machine.state is State.OPEN
    assert 99 not in pair.two.machine._uses
    pair.one.machine.write(stream, b"still")
    pair.settle()
    assert pair.two.told(StreamData) == [StreamData(stream, b"still")]


def test_a_bad_frame_costs_the_connection_and_what_came_before_it_counts():
    pair, stream = opened()
    inject(pair, HEADER.pack(0, 0, 0, stream, 2) + b"ok" + HEADER.pack(9, 0, 0, 0, 0))
    assert pair.two.told(StreamData) == [StreamData(stream, b"ok")]
    [closed] = pair.two.told(Closed)
    assert closed.violation
    assert closed.reason.startswith("yamux: version 9")
    assert pair.two.machine.receive(b"more", pair.now) == []


def test_a_change_is_pushed_to_the_peer_once():
    pair, _ = opened()
    pair.one.machine.describe(about("side-1, renamed", ECHO, PUSH), pair.now)
    pair.settle()
    pair.one.machine.describe(about("side-1, renamed", ECHO, PUSH), pair.now)
    pair.settle()
    assert [event.said.agent for event in pair.two.told(Identified)] == ["side-1", "side-1, renamed"]
    assert not pair.one.machine._uses.keys() - {1, 3, 5}
    assert not pair.one.told(Closed)


def test_a_change_before_the_peer_is_known_waits_for_it():
    pair = Pair()
    pair.one.machine.describe(about("side-1, renamed", ECHO, PUSH), pair.now)
    pair.settle()
    assert pair.two.told(Identified)[-1].said.agent == "side-1, renamed"


def test_nothing_is_pushed_to_a_peer_that_takes_no_pushes():
    pair = Pair(pushes=False)
    pair.settle()
    pair.one.machine.describe(about("side-1, renamed", ECHO), pair.now)
    pair.settle()
    assert [event.said.agent for event in pair.two.told(Identified)] == ["side-1"]


def push(pair: Pair, stream: int, *messages: bytes) -> None:
    """Let `one` push to `two` whatever it wants."""
    said = line(MULTISTREAM) + line(PUSH.encode()) + b"".join(framed(message) for message in messages)
    inject(pair, HEADER.pack(0, 0, 1, stream, len(said)) + said)


def test_pushes_of_a_flood_are_refused_and_the_connection_lives():
    pair, _ = opened(ConnectionLimits(pushes_per_minute_max=3))
    for number in range(10):
        push(pair, 101 + 2 * number, encode(Pair.signer_of(1).did, about(f"name {number}")))
    assert [event.said.agent for event in pair.two.told(Identified)] == ["side-1", "name 0", "name 1", "name 2"]
    assert pair.two.machine.state is State.OPEN


def test_a_push_of_too_many_or_bad_messages_costs_its_stream():
    pair, _ = opened(ConnectionLimits(identify_messages_max=2))
    push(pair, 101, b"", b"", b"")
    assert len(pair.two.told(Identified)) == 3
    push(pair, 103, b"\xff")
    push(pair, 105, encode(Pair.signer_of(2).did, about("not who I am")))
    assert len(pair.two.told(Identified)) == 3
    assert not pair.two.machine._uses.keys() & {101, 103, 105}
    assert pair.two.machine.state is State.OPEN


def test_a_stream_that_its_peer_never_ends_is_given_up():
    pair, _ = opened()
    push(pair, 101, b"")
    asked = line(MULTISTREAM) + line(IDENTIFY.encode())
    inject(pair, HEADER.pack(0, 0, 1, 103, len(asked)) + asked)
    assert {101, 103} <= pair.two.machine._uses.keys()
    pair.tick(ConnectionLimits().negotiation_ms_max)
    assert not pair.two.machine._uses.keys() & {101, 103}
    assert pair.two.machine.state is State.OPEN


def test_echoes_that_nobody_reads_cost_their_stream():
    pair, _ = opened()
    ping = line(MULTISTREAM) + line(b"/ipfs/ping/1.0.0")
    inject(pair, HEADER.pack(0, 0, 1, 99, len(ping)) + ping)
    for _ in range(70):
        inject(pair, HEADER.pack(0, 0, 0, 99, 32) + bytes(32))
    assert 99 not in pair.two.machine._uses
    assert pair.two.machine.state is State.OPEN


def test_goodbye_is_heard():
    pair, _ = opened()
    assert [type(event) for event in pair.one.machine.depart("done")] == [Closed]
    pair.settle()
    [closed] = pair.two.told(Closed)
    assert not closed.violation
    assert "goodbye" in closed.reason


def test_unread_bytes_are_counted_until_consumed():
    pair, stream = opened()
    pair.one.machine.write(stream, bytes(1000))
    pair.settle()
    assert pair.two.machine.unread == 1000
    pair.two.machine.consume(stream, 1000)
    assert pair.two.machine.unread == 0


def test_no_more_streams_are_opened_than_allowed():
    pair, _ = opened(dataclasses.replace(ConnectionLimits(), outbound_streams_max=1))
    assert pair.one.machine.open_stream(ECHO, pair.now) is None


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_garbage_closes_and_never_raises(chunks):
    pair = Pair()
    for side in (pair.one, pair.two):
        for chunk in chunks:
            side.events += side.machine.receive(chunk, pair.now)
        assert len(side.told(Closed)) <= 1


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_garbage_inside_the_session_closes_and_never_raises(chunks):
    pair, _ = opened()
    for chunk in chunks:
        inject(pair, chunk)
    assert all(closed.violation or "goodbye" in closed.reason for closed in pair.two.told(Closed))


@given(
    st.lists(st.binary(min_size=1, max_size=60), max_size=8),
    st.sampled_from(["", "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0", ECHO]),
)
def test_garbage_on_a_stream_leaves_the_connection_open(chunks, protocol):
    pair, _ = opened()
    before = line(MULTISTREAM) + line(protocol.encode()) if protocol else b""
    inject(pair, HEADER.pack(0, 0, 1, 99, len(before)) + before)
    for chunk in chunks:
        inject(pair, HEADER.pack(0, 0, 0, 99, len(chunk)) + chunk)
    assert pair.two.machine.state is State.OPEN
