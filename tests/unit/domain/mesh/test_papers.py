"""Bids, assignments and receipts are believed only as their author signed them."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.domain.mesh import papers
from icn.domain.mesh.model import Bid, Receipt
from icn.kernel import signing
from icn.kernel.errors import Invalid
from icn.kernel.fields import shape_of
from icn.kernel.sealed import seal_encoded
from support import builders

PAPERS: dict[str, tuple[bytes, Callable[[bytes], object], object]] = {
    "bid": (
        papers.seal_bid(builders.bid(2, 1), builders.signer(2)),
        papers.open_bid,
        builders.bid(2, 1),
    ),
    "assignment": (
        papers.seal_assignment(builders.assignment(2, 1), builders.signer(1)),
        papers.open_assignment,
        builders.assignment(2, 1),
    ),
    "receipt": (
        papers.seal_receipt(builders.receipt(2, 1), builders.signer(2)),
        papers.open_receipt,
        builders.receipt(2, 1),
    ),
}
KINDS = st.sampled_from(sorted(PAPERS))


@pytest.mark.parametrize("kind", PAPERS)
def test_a_paper_reads_as_it_was_written(kind: str) -> None:
    data, read, value = PAPERS[kind]
    assert read(data) == value


def test_a_paper_that_another_process_signed_reads_as_it_was_written_also_again() -> None:
    bid = builders.bid(2, 1, price=17)
    data = seal_encoded(builders.signer(2), signing.BID, shape_of(Bid).encode(bid))
    first = papers.open_bid(data)
    assert first == bid
    assert papers.open_bid(bytes(bytearray(data))) is first


def test_a_receipt_that_was_verified_before_is_read_also_when_it_is_not_remembered() -> None:
    receipt = builders.receipt(2, 1, wall_ms=17)
    data = seal_encoded(builders.signer(2), signing.RECEIPT, shape_of(Receipt).encode(receipt))
    assert papers.reopen_receipt(data) == receipt


@given(KINDS, st.data())
def test_one_changed_bit_is_noticed(kind: str, data: st.DataObject) -> None:
    sealed, read, _ = PAPERS[kind]
    position = data.draw(st.integers(0, len(sealed) * 8 - 1))
    changed = bytearray(sealed)
    changed[position // 8] ^= 1 << position % 8
    with pytest.raises(Invalid):
        read(bytes(changed))


@given(KINDS, st.binary(max_size=300))
def test_noise_is_refused(kind: str, noise: bytes) -> None:
    sealed, read, _ = PAPERS[kind]
    for data in (noise, sealed + noise[:1], sealed[: len(noise)]):
        if data != sealed:
            with pytest.raises(Invalid):
                read(data)


@pytest.mark.parametrize("kind", PAPERS)
@pytest.mark.parametrize("other", PAPERS)
def test_no_paper_passes_for_another(kind: str, other: str) -> None:
    if kind != other:
        with pytest.raises(Invalid):
            PAPERS[other][1](PAPERS[kind][0])


def test_a_paper_is_signed_by_its_author() -> None:
    for data, read in (
        (papers.seal_bid(builders.bid(2, 1), builders.signer(1)), papers.open_bid),
        (papers.seal_assignment(builders.assignment(2, 1), builders.signer(2)), papers.open_assignment),
        (papers.seal_receipt(builders.receipt(2, 1), builders.signer(1)), papers.open_receipt),
    ):
        with pytest.raises(Invalid, match="signature"):
            read(data)


@pytest.mark.parametrize("attempt", [-1, 0, 2**32])
def test_attempts_are_counted_from_one_in_four_bytes(attempt: int) -> None:
    with pytest.raises(Invalid, match="counted"):
        papers.open_receipt(papers.seal_receipt(builders.receipt(2, 1, attempt=attempt), builders.signer(2)))


def test_a_paper_fits_a_record() -> None:
    long = builders.receipt(2, 1, detail="x" * papers.RECEIPT_BYTES_MAX)
    with pytest.raises(Invalid, match="bytes"):
        papers.open_receipt(papers.seal_receipt(long, builders.signer(2)))
