"""An invitation as it travels: a paper that its issuer signed, and the one line of text that carries it.

`icn-invite:` and the paper in base64url. Whoever has the line may join once, so it is handed over like a key. What is
wrong with a line that cannot be read is said in terms of what people do to lines: cut them, retype them, mix them up.

Not here: whether it is still good, which only its issuer's feed tells (`rules`).
"""

import base64
import string
from dataclasses import dataclass

from icn.kernel import sealed, signing
from icn.kernel.errors import Invalid
from icn.kernel.fields import shape_of
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.kernel.limits import (
    INVITATION_ADDRESS_CHARS_MAX,
    INVITATION_ADDRESSES_MAX,
    INVITATION_BYTES_MAX,
)
from icn.kernel.signing import Signer

PREFIX = "icn-invite:"
INVITATION_ID_BYTES = 16
LINE_CHARS_MAX = len(PREFIX) + (INVITATION_BYTES_MAX + 2) // 3 * 4
NAME_CHARS_MAX = 64
_SIGNS = frozenset(string.ascii_letters + string.digits + "-_")


@dataclass(frozen=True, slots=True)
class InvitationPaper:
    """What the issuer signed."""

    federation: Cid
    name: str
    """Of the federation, for people: what is joined is `federation`."""
    issuer: Did
    addresses: tuple[str, ...]
    """Multiaddrs where the issuer can be dialled, each ending in its peer id."""
    id: bytes
    expires_at: Instant
    node: Did | None
    """The only node that may use it; None: whoever has it."""


_SHAPE = shape_of(InvitationPaper)


def seal_invitation(paper: InvitationPaper, signer: Signer) -> bytes:
    """Signed by the issuer."""
    return sealed.seal_encoded(signer, signing.INVITATION, _SHAPE.encode(paper))


def open_invitation(data: bytes) -> InvitationPaper:
    """Raises `Invalid` unless it is an invitation that its issuer signed."""
    if len(data) > INVITATION_BYTES_MAX:
        raise Invalid("invitation", f"{len(data)} bytes; at most {INVITATION_BYTES_MAX} are accepted")
    paper = _SHAPE.decode(sealed.encoded_body(data))
    if len(paper.id) != INVITATION_ID_BYTES or not 1 <= len(paper.name) <= NAME_CHARS_MAX:
        raise Invalid("invitation", "its id or the federation's name is out of form")
    too_long = any(len(address) > INVITATION_ADDRESS_CHARS_MAX for address in paper.addresses)
    if not paper.addresses or len(paper.addresses) > INVITATION_ADDRESSES_MAX or too_long:
        raise Invalid("invitation", f"it names 1 to {INVITATION_ADDRESSES_MAX} addresses")
    if not sealed.is_signed_by(data, paper.issuer, signing.INVITATION):
        raise Invalid("invitation", "the signature is not its issuer's")
    return paper


def line_of(data: bytes) -> str:
    """The line that carries a sealed invitation."""
    return PREFIX + base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def read_line(text: str) -> bytes:
    """The sealed invitation of a line; white space, which mail programs put into long lines, counts for nothing.

    Raises:
        Invalid: it is no invitation, or was cut or changed on its way.
    """
    line = "".join(text.split())
    if not line.startswith(PREFIX):
        raise Invalid("invitation", f"an invitation is one line that begins with {PREFIX}")
    if len(line) > LINE_CHARS_MAX:
        raise Invalid("invitation", f"{len(line)} characters; an invitation has at most {LINE_CHARS_MAX}")
    for place, sign in enumerate(line[len(PREFIX) :], start=len(PREFIX) + 1):
        if sign not in _SIGNS:
            raise Invalid("invitation", f"character {place}, {sign!r}, cannot stand in an invitation")
    encoded = line[len(PREFIX) :]
    cut = f"the line was cut, or changed on its way: what its {len(line)} characters end with is no invitation's end"
    if len(encoded) % 4 == 1:
        raise Invalid("invitation", cut)
    data = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    try:
        sealed.encoded_body(data)
    except Invalid as error:
        raise Invalid("invitation", cut) from error
    try:
        open_invitation(data)
    except Invalid as error:
        raise Invalid("invitation", f"a character of the line was changed on its way ({error.why})") from error
    if line_of(data) != line:
        raise Invalid("invitation", "its last character is not the one it was written with")
    return data
