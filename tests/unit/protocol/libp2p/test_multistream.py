import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import Invalid, PeerViolation
from icn.protocol.libp2p.multistream import HEADER, Outcome, Proposer, Responder, line

LINE_MAX = 64


def responder(*spoken: bytes, proposals_max: int = 4) -> Responder:
    return Responder(spoken, LINE_MAX, proposals_max)


def test_the_lines_are_those_of_the_specification():
    assert line(HEADER) == b"\x13/multistream/1.0.0\n"
    assert line(b"na") == b"\x03na\n"


def test_a_conversation_that_agrees_at_the_second_proposal():
    asks, answers = Proposer(("/b", "/a"), LINE_MAX), responder(b"/a")
    assert answers.receive(asks.start()) == line(HEADER) + line(b"na")
    assert asks.receive(line(HEADER) + line(b"na")) == line(b"/a")
    assert answers.receive(line(b"/a") + b"data") == line(b"/a")
    assert (answers.outcome, answers.agreed, answers.rest()) == (Outcome.AGREED, "/a", b"data")
    assert asks.receive(line(b"/a") + b"more") == b""
    assert (asks.outcome, asks.agreed, asks.rest()) == (Outcome.AGREED, "/a", b"more")


def test_a_conversation_that_finds_nothing():
    asks = Proposer(("/b",), LINE_MAX)
    asks.receive(line(HEADER) + line(b"na"))
    assert asks.outcome is Outcome.REFUSED


def test_bytes_may_come_one_at_a_time():
    answers = responder(b"/a")
    spoken = line(HEADER) + line(b"/a") + b"x"
    out = b"".join(answers.receive(spoken[at : at + 1]) for at in range(len(spoken) - 1))
    assert out == line(HEADER) + line(b"/a")
    assert answers.outcome is Outcome.AGREED


@pytest.mark.parametrize(
    "said",
    [
        b"\x00",
        b"\x05abcde",
        bytes([LINE_MAX + 1]),
        line(b"/multistream/2.0.0"),
        line(HEADER) + line(b"/x") * 4,
        line(HEADER) + line(b"") * 4,
        line(HEADER) * 5,
    ],
)
def test_a_responder_hears_no_nonsense(said):
    with pytest.raises(PeerViolation, match="multistream"):
        responder(b"/a").receive(said)


@pytest.mark.parametrize("said", [line(b"/x"), line(HEADER) + line(b"/x"), line(HEADER) + line(b""), b"\x01x"])
def test_a_proposer_hears_no_nonsense(said):
    with pytest.raises(PeerViolation, match="multistream"):
        Proposer(("/a",), LINE_MAX).receive(said)


@given(st.lists(st.binary(max_size=50)))
def test_nothing_but_violations_comes_of_garbage(chunks):
    for machine in (responder(b"/a"), Proposer(("/a", "/b"), LINE_MAX)):
        try:
            for chunk in chunks:
                machine.receive(chunk)
        except (PeerViolation, Invalid):
            pass
