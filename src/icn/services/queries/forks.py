"""Members that signed two histories: where they were cut, what of them counts, who has proved it, by which blocks."""

from dataclasses import dataclass

from icn.domain.dag.forks import Cut
from icn.kernel.ids import PUBLIC_KEY_BYTES, Cid, Did
from icn.services import rows
from icn.services.queries.paging import Page, cursor_bytes
from icn.services.recutting import Kept, blocks_at
from icn.stores.kv import Reader


@dataclass(frozen=True, slots=True)
class ForkView:
    """One author that forked."""

    author: Did
    sequence: int
    """The lowest number under which it signed two blocks. What it recorded from there on is void, but for `kept`."""
    kept: int
    """How many of its blocks from there on a quorum had acknowledged before it knew: they count."""
    side_blocks: int
    """Blocks of it that are here and count for nothing."""
    first: Cid | None
    """The two blocks that prove it; none where only others hold them, which is a state on the way."""
    second: Cid | None
    proved_by: tuple[Did, ...]
    """Nodes that have said so in their own feeds."""


def forks(reader: Reader, *, limit: int, cursor: str | None) -> Page[ForkView]:
    """Authors that forked, in order of their keys. Raises `Invalid` for a cursor that this list did not give."""
    after = None if cursor is None else cursor_bytes(cursor, PUBLIC_KEY_BYTES)
    found: list[tuple[bytes, Cut, int]] = []
    for key, cut in rows.CUTS.rows(reader, after=after):
        if cut.forked_at is not None:
            found.append((key, cut, cut.forked_at))
        if len(found) > limit:
            break
    shown = found[:limit]
    kept = Kept(reader)
    views = tuple(_view(reader, cut, sequence, kept) for _, cut, sequence in shown)
    return Page(views, shown[-1][0].hex() if len(found) > limit else None)


def count(reader: Reader) -> int:
    """How many members signed two histories."""
    return sum(1 for _, cut in rows.CUTS.rows(reader) if cut.forked_at is not None)


def remaining_count(reader: Reader) -> int:
    """How many of them are members still: nobody has removed them, and they did not leave."""
    authors = (cut.author for _, cut in rows.CUTS.rows(reader) if cut.forked_at is not None)
    members = (rows.MEMBERS.get(reader, author.public_key) for author in authors)
    return sum(1 for member in members if member is not None and not member.has_ended)


def _view(reader: Reader, cut: Cut, sequence: int, kept: Kept) -> ForkView:
    pair = blocks_at(reader, cut.author, sequence, kept)[:2]
    first, second = pair if len(pair) == 2 else (None, None)
    by = tuple(row.by for _, row in rows.PROVEN.rows(reader, prefix=cut.author.public_key))
    sides = sum(1 for _ in rows.SIDES.rows(reader, prefix=cut.author.public_key))
    return ForkView(cut.author, sequence, cut.kept, sides, first, second, by)
