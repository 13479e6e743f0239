import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import InvariantBroken, PeerViolation
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.noise import Role
from icn.protocol.libp2p.yamux import HEADER, INITIAL_WINDOW, Data, Departing, Ended, Opened, Reset, Session, YamuxEvent

DATA, UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
LIMITS = ConnectionLimits(inbound_streams_max=3, outbound_streams_max=3)


def frame(kind: int, flags: int, stream: int, length: int, body: bytes = b"") -> bytes:
    return HEADER.pack(0, kind, flags, stream, length) + body


class Talk:
    """Two sessions; what is carried is remembered."""

    def __init__(self, limits: ConnectionLimits = LIMITS, *, reading: bool = True) -> None:
        self.client, self.server = Session(Role.INITIATOR, limits), Session(Role.RESPONDER, limits)
        self.reading = reading
        self.at_client: list[YamuxEvent] = []
        self.at_server: list[YamuxEvent] = []

    def settle(self, step: int = 1 << 20) -> None:
        for _ in range(10_000):
            moved = self._carry(self.client, self.server, self.at_server, step)
            moved += self._carry(self.server, self.client, self.at_client, step)
            if not moved:
                return
        raise AssertionError("never comes to rest")

    def _carry(self, source: Session, target: Session, events: list[YamuxEvent], step: int) -> int:
        out = source.take(1 << 20)
        for at in range(0, len(out), step):
            for event in target.receive(out[at : at + step]):
                events.append(event)
                if self.reading and isinstance(event, Data):
                    target.consume(event.stream, len(event.data))
        return len(out)


def got(events: list[YamuxEvent], stream: int) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Data) and event.stream == stream)


@pytest.mark.parametrize("step", [1, 5, 12, 13, 1 << 20])
def test_a_stream_from_its_opening_to_its_end(step):
    talk = Talk()
    stream = talk.client.open()
    assert stream == 1
    talk.client.write(stream, b"question")
    talk.client.close(stream)
    talk.settle(step)
    assert talk.at_server[0] == Opened(1)
    assert got(talk.at_server, 1) == b"question"
    assert talk.at_server[-1] == Ended(1)
    talk.server.write(1, b"answer")
    talk.server.close(1)
    talk.settle(step)
    assert got(talk.at_client, 1) == b"answer"
    assert talk.at_client[-1] == Ended(1)
    assert talk.client.finished() == talk.server.finished() == [1]


def test_each_side_numbers_its_own_way():
    talk = Talk()
    assert [talk.client.open(), talk.client.open()] == [1, 3]
    assert [talk.server.open(), talk.server.open()] == [2, 4]


def test_we_open_no_more_than_we_allow_ourselves():
    talk = Talk()
    assert [talk.client.open() for _ in range(4)] == [1, 3, 5, None]


def test_one_stream_too_many_is_reset_and_the_others_live():
    talk = Talk(dataclasses.replace(LIMITS, outbound_streams_max=9))
    streams = [talk.client.open() for _ in range(4)]
    talk.settle()
    assert talk.at_client == [Reset(streams[3])]
    talk.client.write(1, b"x")
    talk.settle()
    assert got(talk.at_server, 1) == b"x"


def test_a_writer_stops_at_the_window_and_goes_on_when_it_is_restored():
    talk = Talk(reading=False)
    stream = talk.client.open()
    talk.client.write(stream, bytes(2 * INITIAL_WINDOW))
    talk.settle()
    assert len(got(talk.at_server, 1)) == INITIAL_WINDOW
    assert talk.client.pending_on(1) == INITIAL_WINDOW
    assert talk.server.unread == INITIAL_WINDOW
    talk.server.consume(1, INITIAL_WINDOW)
    talk.settle()
    assert len(got(talk.at_server, 1)) == 2 * INITIAL_WINDOW
    assert talk.client.pending == 0


def test_windows_grow_with_a_reader_that_keeps_up_and_only_so_far():
    limits = dataclasses.replace(
        LIMITS, receive_window_max=4 * INITIAL_WINDOW, window_growth_bytes_max=4 * INITIAL_WINDOW
    )
    talk = Talk(limits)
    streams = [talk.client.open(), talk.client.open()]
    for _ in range(2):
        for stream in streams:
            talk.client.write(stream, bytes(8 * INITIAL_WINDOW))
        talk.settle()
    talk.reading = False
    before = [len(got(talk.at_server, stream)) for stream in streams]
    for stream in streams:
        talk.client.write(stream, bytes(20 * INITIAL_WINDOW))
    talk.settle()
    room = [len(got(talk.at_server, stream)) - count for stream, count in zip(streams, before, strict=True)]
    assert max(room) <= limits.receive_window_max
    assert sum(room) <= 2 * INITIAL_WINDOW + limits.window_growth_bytes_max
    assert sum(room) > 2 * INITIAL_WINDOW


def test_what_a_stream_grew_is_given_back_at_its_end():
    limits = dataclasses.replace(LIMITS, window_growth_bytes_max=INITIAL_WINDOW)
    talk = Talk(limits)
    for _ in range(3):
        stream = talk.client.open()
        talk.client.write(stream, bytes(4 * INITIAL_WINDOW))
        talk.settle()
        talk.reading = False
        talk.client.write(stream, bytes(4 * INITIAL_WINDOW))
        before = len(got(talk.at_server, stream))
        talk.settle()
        assert len(got(talk.at_server, stream)) - before > INITIAL_WINDOW
        assert talk.server.unread > INITIAL_WINDOW
        talk.client.reset(stream)
        talk.settle()
        assert talk.server.unread == 0
        talk.reading = True


def test_streams_take_turns():
    talk = Talk()
    one, two = talk.client.open(), talk.client.open()
    talk.client.write(one, bytes(200_000))
    talk.client.write(two, b"short")
    events = list(talk.server.receive(talk.client.take(100_000)))
    assert got(events, two) == b"short"
    assert 0 < len(got(events, one)) < 200_000


def test_a_reset_drops_what_waits_and_tells_the_other():
    talk = Talk()
    stream = talk.client.open()
    talk.settle()
    talk.client.write(stream, b"never sent")
    talk.client.reset(stream)
    assert talk.client.pending == 0
    talk.settle()
    assert talk.at_server[-1] == Reset(stream)
    assert got(talk.at_server, stream) == b""


def test_late_frames_for_a_stream_that_is_gone_are_discarded():
    server = Session(Role.RESPONDER, LIMITS)
    list(server.receive(frame(UPDATE, SYN, 1, 0)))
    server.reset(1)
    late = (
        frame(DATA, 0, 1, 5, b"late!") + frame(UPDATE, 0, 1, 9) + frame(DATA, FIN, 1, 1, b"x") + frame(PING, SYN, 0, 7)
    )
    assert list(server.receive(late)) == []
    assert server.take(1000).endswith(frame(PING, ACK, 0, 7))


def test_data_and_the_end_may_share_a_frame():
    server = Session(Role.RESPONDER, LIMITS)
    events = list(server.receive(frame(DATA, SYN | FIN, 1, 3, b"all")))
    assert events == [Opened(1), Data(1, b"all"), Ended(1)]


def test_goodbye_says_why():
    server = Session(Role.RESPONDER, LIMITS)
    assert list(server.receive(frame(GO_AWAY, 0, 0, 1))) == [Departing("protocol error")]


def test_nothing_is_written_behind_the_end():
    talk = Talk()
    stream = talk.client.open()
    talk.client.close(stream)
    with pytest.raises(InvariantBroken):
        talk.client.write(stream, b"more")


OPEN = frame(UPDATE, SYN, 1, 0)


@pytest.mark.parametrize(
    ("frames", "rule"),
    [
        (b"\x01" + bytes(11), "version"),
        (frame(4, 0, 0, 0), "frame type"),
        (frame(DATA, 16, 1, 0), "unknown flags"),
        (frame(DATA, 0, 0, 0), "stream id 0"),
        (frame(UPDATE, SYN, 2, 0), "id of ours"),
        (OPEN + OPEN, "opened twice"),
        (OPEN + frame(DATA, 0, 1, INITIAL_WINDOW + 1), "window"),
        (OPEN + frame(DATA, 0, 1, INITIAL_WINDOW, bytes(INITIAL_WINDOW)) + frame(DATA, 0, 1, 1), "window had 0"),
        (OPEN + frame(DATA, FIN, 1, 0) + frame(DATA, 0, 1, 1), "behind the end"),
        (OPEN + frame(DATA, FIN, 1, 0) + frame(UPDATE, FIN, 1, 0), "ended twice"),
        (OPEN + frame(UPDATE, 0, 1, 2**32 - 1), "32 bits"),
        (frame(DATA, 0, 1, 2**32 - 1), "frame of"),
        (frame(PING, SYN, 1, 0), "ping is about the session"),
        (frame(PING, FIN, 0, 0), "ping with flags"),
        (frame(PING, SYN, 0, 0) * 65, "pings without reading"),
        (frame(GO_AWAY, 0, 1, 0), "go away is about the session"),
        (b"".join(frame(UPDATE, SYN, number, 0) for number in range(1, 20_001, 2)), "does not read the answers"),
    ],
)
def test_a_broken_rule_is_named(frames, rule):
    with pytest.raises(PeerViolation, match=rule):
        list(Session(Role.RESPONDER, LIMITS).receive(frames))


FRAMES = st.builds(
    frame,
    st.integers(0, 5),
    st.integers(0, 17),
    st.integers(0, 6),
    st.one_of(st.integers(0, 20), st.integers(0, 2**32 - 1)),
    st.binary(max_size=20),
)


@given(st.lists(st.one_of(st.binary(max_size=40), FRAMES), max_size=20), st.booleans())
def test_nothing_but_violations_comes_of_garbage(chunks, initiator):
    session = Session(Role.INITIATOR if initiator else Role.RESPONDER, LIMITS)
    session.open()
    try:
        for chunk in chunks:
            for event in session.receive(chunk):
                if isinstance(event, Data):
                    session.consume(event.stream, len(event.data))
            session.take(1000)
    except PeerViolation:
        pass
    assert session.unread >= 0
    assert session.pending == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "close", "reset", "settle"]), st.integers(0, 2), st.integers(0, 300_000)),
        max_size=25,
    )
)
def test_whatever_is_done_books_balance_and_bytes_arrive_in_order(steps):
    talk = Talk()
    streams = [talk.client.open() for _ in range(3)]
    written = [b"", b"", b""]
    closed: set[int] = set()
    gone: set[int] = set()
    for action, index, count in steps:
        if action == "settle":
            talk.settle()
        elif index in gone:
            continue
        elif action == "reset":
            talk.client.reset(streams[index])
            gone.add(index)
        elif index not in closed and action == "write":
            data = bytes([len(written[index]) % 251]) * count
            written[index] += data
            talk.client.write(streams[index], data)
        elif action == "close":
            talk.client.close(streams[index])
            closed.add(index)
    talk.settle()
    for index, stream in enumerate(streams):
        arrived = got(talk.at_server, stream)
        assert written[index].startswith(arrived)
        assert index in gone or arrived == written[index]
    assert talk.client.pending == talk.server.unread == 0
