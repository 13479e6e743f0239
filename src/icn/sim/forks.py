"""What must hold where a member signed several histories: everybody honest has found it, and can show it.

Not here: who signs them (forger), and that honest nodes agree, which is checked as in any other run.
"""

from collections.abc import Collection, Sequence

from icn.domain.federation.events import EquivocationProven
from icn.kernel.ids import Did
from icn.services import acceptance
from icn.services.equivocation import is_heard_of
from icn.sim.findings import expect
from icn.sim.node import Node
from icn.stores import blocks
from icn.stores.kv import Reader


def cuts_by_hand(reader: Reader) -> dict[Did, int]:
    """By author, the lowest number with two blocks in the journal, or that a record proves."""
    cuts: dict[Did, int] = {}
    seen: dict[tuple[Did, int], None] = {}

    def cut(author: Did, sequence: int) -> None:
        cuts[author] = min(sequence, cuts.get(author, sequence))

    for _, cid in blocks.journal(reader):
        block = blocks.get_block(reader, cid)
        if block is None:
            continue
        place = (block.header.author, block.header.sequence)
        if place in seen:
            cut(*place)
        seen[place] = None
        for record in acceptance.read_records(block):
            event = record.event
            if isinstance(event, EquivocationProven):
                cut(event.accused, event.sequence)
    return cuts


def forks_are_proved(nodes: Sequence[Node], forgers: Collection[Did]) -> None:
    """Who has two blocks of one number knows it, as do all others; each has said so; nobody honest is accused."""
    found = [cuts_by_hand(node.disk.platter) for node in nodes]
    due = {author for cuts in found for author in cuts}
    honest = {node.did for node in nodes} - set(forgers)
    expect(not due & honest, "no honest node is accused", str(sorted(due & honest)))
    for node, cuts in zip(nodes, found, strict=True):
        engine = node.engine
        if engine is None:
            continue
        expect(
            set(cuts) == due, "forks are found by all", f"{node.name} knows of {sorted(cuts)}, others of {sorted(due)}"
        )
        state = engine.state
        known = {author: one.forked_at for author, one in state.cuts.items() if one.forked_at is not None}
        expect(known == cuts, "forks are cut where they begin", f"{node.name}: {known} and not {cuts}")
        if not state.federation.has_joined(node.did) or engine.authorship.is_held:
            continue
        for author, sequence in cuts.items():
            if not is_heard_of(state, author):
                continue  # whoever met it has said so
            said = state.federation.proven.get((author, node.did))
            expect(said == sequence, "forks are proved by all", f"{node.name} proved {said}, the fork is at {sequence}")
            _is_evident(node.name, node.disk.platter, author)


def _is_evident(name: str, reader: Reader, author: Did) -> None:
    for _, cid in blocks.journal(reader):
        block = blocks.get_block(reader, cid)
        if block is None:
            continue
        for record in acceptance.read_records(block):
            event = record.event
            if isinstance(event, EquivocationProven) and event.accused == author:
                held = [blocks.get_bytes(reader, each) or b"" for each in (event.first, event.second)]
                expect(acceptance.proves(event, held, block.header.federation), "proofs prove", f"{name}: {event}")
