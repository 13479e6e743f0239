"""One value of each thing that is stored or sent, and its bytes: what the golden files hold.

`python tests/wire/golden_values.py --write-new` adds files for what has none yet. It never changes one: bytes that are
stored or on their way cannot be amended. Who means to change a format gives it a new name, number or version.
"""

import dataclasses
import sys
import types
import typing
from enum import Enum
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from icn.domain.federation.invitation import InvitationPaper, seal_invitation
from icn.domain.mesh import papers
from icn.domain.mesh.model import Assignment, Bid, Receipt
from icn.domain.records import EVENT_NAMES, Envelope, MemberSignature, Record, write_record
from icn.kernel.encoding import encode
from icn.kernel.fields import shape_of
from icn.kernel.ids import Cid, Did, JobId, PeerId
from icn.protocol.codec import encode_message
from icn.protocol.messages import NUMBERS
from icn.services import rows
from icn.stores.blocks import BlockMeta
from icn.stores.changeover import Change, Former
from icn.stores.contents import ContentMeta, TimeMark
from icn.stores.format_1 import ContentMetaOfFormat1
from icn.stores.joining import Aim
from icn.stores.replies import StoredReply
from support import builders

GOLDEN = Path(__file__).parent / "golden"
ROWS = (
    rows.Federation,
    rows.Member,
    rows.Invitation,
    rows.Account,
    rows.Hold,
    rows.Transit,
    rows.HomeCounts,
    rows.Supply,
    rows.Job,
    rows.PositionRow,
    rows.Execution,
    rows.StandingRow,
    rows.HeadRow,
    rows.Poll,
    rows.PledgeRow,
    rows.DisputeRow,
    rows.SideRow,
    rows.ProvenRow,
    rows.Cut,
    BlockMeta,
    ContentMeta,
    ContentMetaOfFormat1,
    TimeMark,
    StoredReply,
    Aim,
    Change,
    Former,
)


def example(cls: type[Any]) -> Any:
    """A value with something in every field, the same on every run."""
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)
    return cls(**{field.name: _example(hints[field.name], field.name) for field in fields})


def _example(hint: Any, name: str) -> Any:
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    number = sum(name.encode())
    known: dict[Any, Any] = {
        int: number,
        bool: number % 2 == 1,
        str: name,
        bytes: name.encode(),
        Did: builders.did(1 + number % 9),
        PeerId: PeerId.of(builders.did(1 + number % 9)),
        Cid: builders.cid(name),
        JobId: builders.job_id(builders.did(1), name),
    }
    if hint in known:
        return known[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return list(hint)[number % len(hint)]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return example(hint)
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return (_example(arguments[0], name), _example(arguments[0], f"{name} again"))
    if types.NoneType in arguments:
        return _example(next(a for a in arguments if a is not types.NoneType), name)
    raise TypeError(f"no example for {hint!r}")


def goldens() -> dict[str, bytes]:
    """File name (without .hex) to bytes, of everything."""
    envelope = Envelope(
        builders.did(1), builders.did(2), "cause", "correlation", MemberSignature(builders.did(3), bytes(64))
    )
    found: dict[str, bytes] = {}
    for kind, name in EVENT_NAMES.items():
        found[f"event.{name}"] = encode(write_record(Record(envelope, example(kind))))
    for kind, number in NUMBERS.items():
        found[f"message.{number}.{kind.__name__}"] = encode_message(example(kind))
    for kind in ROWS:
        found[f"row.{kind.__name__}"] = encode(shape_of(kind).to_map(example(kind)))
    one = builders.did(1)
    found["paper.bid"] = papers.seal_bid(dataclasses.replace(example(Bid), attempt=1, executor=one), builders.signer(1))
    found["paper.assignment"] = papers.seal_assignment(
        dataclasses.replace(example(Assignment), attempt=1, home=one), builders.signer(1)
    )
    found["paper.receipt"] = papers.seal_receipt(
        dataclasses.replace(example(Receipt), attempt=1, executor=one), builders.signer(1)
    )
    found["paper.invitation"] = seal_invitation(
        dataclasses.replace(example(InvitationPaper), issuer=one, id=bytes(range(16))), builders.signer(1)
    )
    events = [example(kind) for kind in EVENT_NAMES]
    genesis = builders.block(1, events[:1])
    found["block.genesis"] = genesis.data
    found["block.second"] = builders.block(
        1,
        events[1:3],
        federation=genesis.cid,
        sequence=1,
        previous=genesis.cid,
        parents=(builders.cid("one"), builders.cid("other")),
    ).data
    return found


def main() -> None:
    """Write what has no file yet, if told so."""
    if sys.argv[1:] != ["--write-new"]:
        sys.exit(__doc__)
    GOLDEN.mkdir(exist_ok=True)
    for name, data in goldens().items():
        path = GOLDEN / f"{name}.hex"
        if not path.exists():
            path.write_text("\n".join(data.hex()[i : i + 96] for i in range(0, len(data) * 2, 96)) + "\n")
            print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
