"""Bids, assignments and receipts as sealed bytes: written, read and verified."""

from typing import TypeVar

from icn.domain.mesh.model import Assignment, Bid, Receipt
from icn.kernel import signing
from icn.kernel.errors import Invalid
from icn.kernel.fields import Shape, shape_of
from icn.kernel.ids import Did
from icn.kernel.limits import KIB
from icn.kernel.sealed import open_sealed, seal
from icn.kernel.signing import Signer

Paper = TypeVar("Paper", Bid, Assignment, Receipt)

ATTEMPT_MAX = 2**32 - 1
"""Attempts stand in keys with four bytes."""
PAPER_BYTES_MAX: dict[type[Bid | Assignment | Receipt], int] = {
    Bid: 16 * KIB,
    Receipt: 16 * KIB,
    Assignment: 512 * KIB,
}
"""A paper ends up in a record, and a record in a block: what could not be recorded is refused when it is read."""


def seal_bid(bid: Bid, signer: Signer) -> bytes:
    """Signed by the executor."""
    return seal(signer, signing.BID, shape_of(Bid).to_map(bid))


def open_bid(data: bytes) -> Bid:
    """Raises `Invalid` unless it is a bid its executor signed."""
    return _open(data, shape_of(Bid), signing.BID)


def seal_assignment(assignment: Assignment, signer: Signer) -> bytes:
    """Signed by the home."""
    return seal(signer, signing.ASSIGNMENT, shape_of(Assignment).to_map(assignment))


def open_assignment(data: bytes) -> Assignment:
    """Raises `Invalid` unless it is an assignment its home signed."""
    return _open(data, shape_of(Assignment), signing.ASSIGNMENT)


def seal_receipt(receipt: Receipt, signer: Signer) -> bytes:
    """Signed by the executor."""
    return seal(signer, signing.RECEIPT, shape_of(Receipt).to_map(receipt))


def open_receipt(data: bytes) -> Receipt:
    """Raises `Invalid` unless it is a receipt its executor signed."""
    return _open(data, shape_of(Receipt), signing.RECEIPT)


def _open(data: bytes, shape: Shape[Paper], tag: bytes) -> Paper:
    if len(data) > PAPER_BYTES_MAX[shape.cls]:
        raise Invalid(shape.cls.__name__, f"{len(data)} bytes; at most {PAPER_BYTES_MAX[shape.cls]} are accepted")
    sealed = open_sealed(data)
    paper = shape.from_map(sealed.body)
    if not 1 <= paper.attempt <= ATTEMPT_MAX:
        raise Invalid(type(paper).__name__, f"attempts are counted from 1 to {ATTEMPT_MAX}")
    if not sealed.is_signed_by(_signatory(paper), tag):
        raise Invalid(type(paper).__name__, "the signature is not its author's")
    return paper


def _signatory(paper: Bid | Assignment | Receipt) -> Did:
    return paper.home if isinstance(paper, Assignment) else paper.executor
