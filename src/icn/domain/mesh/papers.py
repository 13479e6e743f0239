"""Bids, assignments and receipts as sealed bytes: written, read and verified.

A paper is opened many times: when it comes, when it is recorded, where its record comes back. What the same bytes open
to is always the same, so the latest are remembered; those that this node signed need not be verified at all.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from icn.domain.mesh.model import Assignment, Bid, Receipt
from icn.kernel import sealed, signing
from icn.kernel.errors import Invalid
from icn.kernel.fields import Shape, shape_of
from icn.kernel.ids import Did
from icn.kernel.limits import KIB
from icn.kernel.memo import Memo
from icn.kernel.signing import Signer

Paper = TypeVar("Paper", Bid, Assignment, Receipt)

ATTEMPT_MAX = 2**32 - 1
"""Attempts stand in keys with four bytes."""
BID_BYTES_MAX = 16 * KIB
RECEIPT_BYTES_MAX = 16 * KIB
ASSIGNMENT_BYTES_MAX = 512 * KIB
"""A paper ends up in a record, and a record in a block: what could not be recorded is refused when it is read."""
PAPERS_REMEMBERED_MAX = 4096
"""Of each kind."""
REMEMBERED_BYTES_MAX = 2 * KIB
"""A longer paper is opened anew each time."""


@dataclass(frozen=True, slots=True)
class _Kind(Generic[Paper]):
    shape: Shape[Paper]
    tag: bytes
    bytes_max: int
    known: Memo[bytes, Paper]
    """Genuine ones, by their bytes."""


def _kind(paper: type[Paper], tag: bytes, bytes_max: int) -> _Kind[Paper]:
    return _Kind(shape_of(paper), tag, bytes_max, Memo(PAPERS_REMEMBERED_MAX))


_BID = _kind(Bid, signing.BID, BID_BYTES_MAX)
_RECEIPT = _kind(Receipt, signing.RECEIPT, RECEIPT_BYTES_MAX)
_ASSIGNMENT = _kind(Assignment, signing.ASSIGNMENT, ASSIGNMENT_BYTES_MAX)


def is_attempt(number: int) -> bool:
    """Whether an attempt can have this number. A message may carry any other."""
    return 1 <= number <= ATTEMPT_MAX


def seal_bid(bid: Bid, signer: Signer) -> bytes:
    """Signed by the executor."""
    return _seal(bid, _BID, signer)


def open_bid(data: bytes) -> Bid:
    """Raises `Invalid` unless it is a bid its executor signed."""
    return _open(data, _BID)


def seal_assignment(assignment: Assignment, signer: Signer) -> bytes:
    """Signed by the home."""
    return _seal(assignment, _ASSIGNMENT, signer)


def open_assignment(data: bytes) -> Assignment:
    """Raises `Invalid` unless it is an assignment its home signed."""
    return _open(data, _ASSIGNMENT)


def seal_receipt(receipt: Receipt, signer: Signer) -> bytes:
    """Signed by the executor."""
    return _seal(receipt, _RECEIPT, signer)


def open_receipt(data: bytes) -> Receipt:
    """Raises `Invalid` unless it is a receipt its executor signed."""
    return _open(data, _RECEIPT)


def reopen_receipt(data: bytes) -> Receipt:
    """`open_receipt` for one whose signature was verified before its record was accepted."""
    return _RECEIPT.known.get(data) or _RECEIPT.shape.decode(sealed.encoded_body(data))


def _seal(paper: Paper, kind: _Kind[Paper], signer: Signer) -> bytes:
    data = sealed.seal_encoded(signer, kind.tag, kind.shape.encode(paper))
    if _signatory(paper) == signer.did and len(data) <= REMEMBERED_BYTES_MAX and is_attempt(paper.attempt):
        kind.known.put(data, paper)
    return data


def _open(data: bytes, kind: _Kind[Paper]) -> Paper:
    known = kind.known.get(data)
    if known is not None:
        return known
    name = kind.shape.cls.__name__
    if len(data) > kind.bytes_max:
        raise Invalid(name, f"{len(data)} bytes; at most {kind.bytes_max} are accepted")
    paper = kind.shape.decode(sealed.encoded_body(data))
    if not is_attempt(paper.attempt):
        raise Invalid(name, f"attempts are counted from 1 to {ATTEMPT_MAX}")
    if not sealed.is_signed_by(data, _signatory(paper), kind.tag):
        raise Invalid(name, "the signature is not its author's")
    if len(data) <= REMEMBERED_BYTES_MAX:
        kind.known.put(data, paper)
    return paper


def _signatory(paper: Bid | Assignment | Receipt) -> Did:
    return paper.home if isinstance(paper, Assignment) else paper.executor
