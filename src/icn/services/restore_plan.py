"""Which archives a store is to be filled from, and in which order: one chain, of this node.

A node that was restored, or has changed its federation, has another store since, and backs up to the same place. Of
archives of several stores those of the one that is filled are taken, or else those of the one that was backed up last.

Nothing is read here but manifests, and nothing is written. What a manifest claims is checked when its archive is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from icn.kernel.errors import Kind, Refusal
from icn.kernel.ids import Did
from icn.services.archive_check import Examined
from icn.stores import backups, blocks, contents, schema
from icn.stores.archive import BEGINNING, ArchiveDamaged, ArchiveKind, Manifest, Position
from icn.stores.kv import Reader


class ForeignArchive(Refusal):
    """The archive is another node's, or of another federation than the store."""

    code: ClassVar[str] = "archive.foreign"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class ChainBroken(Refusal):
    """The archives do not make up a whole: something between them is in none."""

    code: ClassVar[str] = "archive.chain_broken"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Link:
    """An archive of a chain: examined, or as it claims to be."""

    examined: Examined
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be put where."""

    chain: tuple[Link, ...]
    unused: tuple[str, ...]
    """Archives that were given, and that the chain does not need."""
    damaged: tuple[str, ...]
    """What is wrong with those that were left out for it."""
    owner: Did
    """Whose store it is, or will be."""
    is_own: bool
    """Whether that is the node of the archives."""
    fills: bool
    """The store is empty, or holds a backup and nothing else: then pins, lifetimes and local rows are taken over."""

    @property
    def newest(self) -> Manifest:
        """What the chain leads to."""
        return self.chain[-1].manifest

    @property
    def begins(self) -> bool:
        """Whether the chain holds everything from the beginning."""
        return self.chain[0].manifest.kind is ArchiveKind.FULL


def plan(
    examined: Sequence[Examined],
    target: Reader,
    *,
    configured: Did | None,
    as_new: bool,
    skips_damaged: bool = False,
) -> Plan:
    """Choose and order the archives for the store `target`.

    `configured`: the node's own DID, where its key or the configuration tells. `as_new`: the store becomes that node's,
    and holds the archive's node as another one. `skips_damaged`: those with findings are left out, be it that the rest
    leads less far.

    Raises:
        ArchiveDamaged: one of them has findings; with `skips_damaged`, all.
        ForeignArchive, ChainBroken: they do not belong to the store, or not together.
        StoreNewer, StoreOlder: the store has another format.
    """
    schema.require_current(target)
    links, damaged = _links(examined, skips_damaged=skips_damaged)
    origin, store_id = backups.origin_of(target), schema.store_id(target)
    _check_alike(list(links.values()))
    known = (None if origin is None else origin.store, None if store_id is None else store_id.hex())
    chosen = _of_one_store(list(links.values()), known)
    first = chosen[0].manifest
    owner = _owner(first, target, configured, as_new=as_new)
    _check_federation(first, target)
    here = _next(target)
    covered, of_manifest = None, None
    if origin is not None and origin.store == first.store:
        covered, of_manifest = origin.to, origin.manifest
    elif store_id is not None and store_id.hex() == first.store:
        covered = here
    chain = _chain(chosen, covered, of_manifest)
    fills = schema.owner_of(target) is None or (origin is not None and origin.own == here)
    used = {link.examined.sha256 for link in chain}
    unused = tuple(one.archive.name for one in examined if one.sha256 in links and one.sha256 not in used)
    return Plan(tuple(chain), unused, damaged, owner, owner == first.node, fills)


def _links(examined: Sequence[Examined], *, skips_damaged: bool) -> tuple[dict[str, Link], tuple[str, ...]]:
    """By hash of the manifest, those that are whole; and what is wrong with the others. Raises `ArchiveDamaged`."""
    links: dict[str, Link] = {}
    refused: list[ArchiveDamaged] = []
    for one in examined:
        try:
            links[one.sha256] = Link(one, one.whole())
        except ArchiveDamaged as error:
            refused.append(error)
    if refused and not (links and skips_damaged):
        first = refused[0]
        more = f"; {len(refused) - 1} more are damaged" if len(refused) > 1 else ""
        raise ArchiveDamaged(first.archive, f"{first.why}{more}") from first
    return links, tuple(map(str, refused))


def _next(reader: Reader) -> Position:
    return Position(blocks.last_arrival(reader) + 1, contents.next_change(reader.get))


def _check_alike(links: list[Link]) -> None:
    first = links[0]
    for link in links[1:]:
        if link.manifest.node != first.manifest.node:
            raise ForeignArchive(
                f"{link.examined.archive.name} is a backup of {link.manifest.node}, {first.examined.archive.name} of "
                f"{first.manifest.node}"
            )


def _of_one_store(links: list[Link], known: Sequence[str | None]) -> list[Link]:
    """Those of the first store in `known` of which there are any, else of the store that was backed up last.

    Raises `ChainBroken` where the clock says that, and the node's own feed says another one.
    """
    by_store: dict[str, list[Link]] = {}
    for link in links:
        by_store.setdefault(link.manifest.store, []).append(link)
    if len(by_store) == 1:
        return links
    for store in known:
        if store in by_store:
            return by_store[store]
    newest = [max(of_store, key=_when) for of_store in by_store.values()]
    last = max(newest, key=_when)
    for other in newest:
        if other.manifest.federation == last.manifest.federation and _own_count(other) > _own_count(last):
            raise ChainBroken(
                f"{last.examined.archive.name} and {other.examined.archive.name} are backups of different stores, and "
                "the later one holds fewer blocks of the node itself: give those of one"
            )
    return by_store[last.manifest.store]


def _when(link: Link) -> tuple[str, int]:
    return link.manifest.created, _own_count(link)


def _own_count(link: Link) -> int:
    """How many blocks the node's own feed has there."""
    return next((head.sequence + 1 for head in link.manifest.heads if head.author == link.manifest.node), 0)


def _owner(manifest: Manifest, target: Reader, configured: Did | None, *, as_new: bool) -> Did:
    stored = schema.owner_of(target)
    if as_new and configured is None:
        raise ForeignArchive("--as-new needs the key of the node that the store is to be: make it, or put it in place")
    owner = configured if as_new and configured is not None else manifest.node
    if not as_new and configured is not None and configured != manifest.node:
        raise ForeignArchive(
            f"the backup is of {manifest.node}, this node's key is {configured}: put that node's key in place, or give "
            "--as-new to keep this key and take the backup as another node's history"
        )
    if stored is not None and stored != owner.text:
        raise ForeignArchive(f"the store belongs to {stored}, the backup would make it one of {owner}: use another one")
    return owner


def _check_federation(manifest: Manifest, target: Reader) -> None:
    if next(iter(target.scan(b"")), None) is None:
        return  # of none, and the rules that rows of one are read by need not be loaded
    from icn.services import rows

    federation = rows.load_federation(target)
    if federation is None:
        return
    named = None if manifest.federation is None else manifest.federation.id
    if named is not None and str(federation.id) != named:
        raise ForeignArchive(
            f"the backup is of the federation {named}, the store of {federation.id}: restore into an empty store"
        )


def _chain(links: list[Link], covered: Position | None, of_manifest: str | None) -> list[Link]:
    """The links that are needed, in order. Raises `ChainBroken`, which names what is missing."""
    links = sorted(links, key=_order)
    starts = [place for place, link in enumerate(links) if link.manifest.kind is ArchiveKind.FULL]
    known = {of_manifest: None}
    if starts:
        chain, rest = [links[starts[-1]]], links[starts[-1] + 1 :]
        known.update((link.examined.sha256, None) for link in links[: starts[-1]])  # the full one has all of theirs
    elif covered is not None:
        chain, rest = [], [link for link in links if not covered.covers(link.manifest.to)] or links[-1:]
    else:
        named = ", ".join(link.examined.archive.name for link in links)
        raise ChainBroken(f"{named}: an incremental backup needs the full one that it goes on from: give that too")
    reached = chain[0].manifest.to if chain else covered or BEGINNING
    when = chain[0].manifest.created if chain else "that in the store"
    known.update((link.examined.sha256, None) for link in chain)
    for link in rest:
        manifest = link.manifest
        if not reached.covers(manifest.since):
            raise ChainBroken(
                f"a backup is missing between that of {when} and {link.examined.archive.name} of {manifest.created}: "
                f"{_gap(reached, manifest.since)} are in none"
            )
        if manifest.parent is not None and manifest.parent not in known and starts:
            raise ChainBroken(
                f"{link.examined.archive.name} goes on from the backup with manifest {manifest.parent}, which is not "
                f"given; the one before it here is that of {when}"
            )
        chain.append(link)
        known[link.examined.sha256] = None
        reached = Position(max(reached.arrival, manifest.to.arrival), max(reached.change, manifest.to.change))
        when = manifest.created
    return chain


def _order(link: Link) -> tuple[int, int, str]:
    return link.manifest.to.arrival, link.manifest.to.change, link.manifest.created


def _gap(reached: Position, since: Position) -> str:
    gaps = []
    if reached.arrival < since.arrival:
        gaps.append(f"blocks {reached.arrival} to {since.arrival - 1}")
    if reached.change < since.change:
        gaps.append(f"changes of content {reached.change} to {since.change - 1}")
    return " and ".join(gaps)
