"""Which archives a store is to be filled from, and in which order: one chain, of this node.

Nothing is read here but manifests, and nothing is written. What a manifest claims is checked when its archive is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from icn.kernel.errors import Kind, Refusal
from icn.kernel.ids import Did
from icn.services import rows
from icn.services.archive_check import Examined
from icn.stores import backups, blocks, contents, schema
from icn.stores.archive import BEGINNING, ArchiveKind, Manifest, Position
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


def plan(examined: Sequence[Examined], target: Reader, *, configured: Did | None, as_new: bool) -> Plan:
    """Choose and order the archives for the store `target`.

    `configured`: the node's own DID, where its key or the configuration tells. `as_new`: the store becomes that node's,
    and holds the archive's node as another one.

    Raises:
        ArchiveDamaged: one of them has findings.
        ForeignArchive, ChainBroken: they do not belong to the store, or not together.
        StoreNewer, StoreOlder: the store has another format.
    """
    schema.require_current(target)
    links = {one.sha256: Link(one, one.whole()) for one in examined}
    origin, store_id = backups.origin_of(target), schema.store_id(target)
    first = next(iter(links.values())).manifest
    _check_alike(list(links.values()))
    owner = _owner(first, target, configured, as_new=as_new)
    _check_federation(first, target)
    here = _next(target)
    covered, of_manifest = None, None
    if origin is not None and origin.store == first.store:
        covered, of_manifest = origin.to, origin.manifest
    elif store_id is not None and store_id.hex() == first.store:
        covered = here
    chain = _chain(list(links.values()), covered, of_manifest)
    fills = schema.owner_of(target) is None or (origin is not None and origin.own == here)
    used = {link.examined.sha256 for link in chain}
    unused = tuple(one.archive.name for one in examined if one.sha256 not in used)
    return Plan(tuple(chain), unused, owner, owner == first.node, fills)


def _next(reader: Reader) -> Position:
    return Position(blocks.last_arrival(reader) + 1, contents.next_change(reader.get))


def _check_alike(links: list[Link]) -> None:
    first = links[0]
    for link in links[1:]:
        if link.manifest.store != first.manifest.store:
            raise ChainBroken(
                f"{link.examined.archive.name} and {first.examined.archive.name} are backups of different stores: "
                "give those of one"
            )
        if link.manifest.node != first.manifest.node:
            raise ForeignArchive(
                f"{link.examined.archive.name} is a backup of {link.manifest.node}, {first.examined.archive.name} of "
                f"{first.manifest.node}"
            )


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
