"""`dag restore` while the node runs: the archives are proven here, then the node gets what it lacks, part by part.

```
examine ─> plan ─> replay in memory ─> ask what the node lacks ─> send that ─> the node verifies itself
```

The node takes signed blocks as a peer's, content with the pin and lifetime it had, and no rows that the journal does
not tell. Where it lacks blocks of its own it is shown the newest of them first: from then on it is held, and signs
nothing beside what is on its way. What it has and what is damaged there is sent, too, and mended. Broken off, the same
command goes on: what is there by then is not sent again.

Not here: which archives, their keys (`backup`); restoring a store that no node uses (services.restore).
"""

import argparse
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from icn.adapters.storage.memory import MemoryStore
from icn.cli.answer import Document, unexpected
from icn.cli.archives import say_left_out
from icn.cli.byte_progress import byte_progress
from icn.cli.endings import Exit
from icn.cli.session import Session
from icn.domain.dag.block import Block, parse_block
from icn.kernel.errors import Invalid
from icn.kernel.ids import Cid, Did
from icn.services import restore
from icn.services.archive_check import Examined, known_parts
from icn.services.restore_plan import ForeignArchive, Plan, plan
from icn.stores import archive_parts, tar
from icn.stores.archive import Entry, part_name
from icn.stores.archive_parts import ContentLine, read_car

NAMES_MAX = 4096
"""Blocks that the node is asked after together; what it takes at most."""
REASONS_SHOWN_MAX = 20
COUNTS = ("blocks_new", "blocks_known", "evidence", "content_new", "content_known", "refused")
"""Of the node's answers, in its words."""


@dataclass(frozen=True, slots=True)
class _Node:
    """What the running node tells of itself."""

    did: Did
    federation: Cid | None
    own_count: int
    """Blocks that its own feed has there."""
    own_head: str | None


@dataclass(slots=True)
class _Lacking:
    """What the archives have and the node has not."""

    blocks: dict[Cid, None] = field(default_factory=dict)
    content: dict[Cid, ContentLine] = field(default_factory=dict)
    """With the newest line of each."""
    own_first: Block | None = None
    own_newest: Block | None = None
    damaged: int = 0
    """Of both: they are there, and their bytes are not those of their names. They are sent, and mended."""
    blocks_known: int = 0
    content_known: int = 0


def restore_online(session: Session, given: argparse.Namespace, examined: list[Examined]) -> Exit:
    """Give the node what it lacks of these archives."""
    node = _ask_node(session)
    planned = _plan(
        node, examined, as_new=getattr(given, "as_new", False), skips_damaged=getattr(given, "skip_damaged", False)
    )
    say_left_out(session, planned)
    with byte_progress(session.world, "checking") as progress:
        restore.check(planned, MemoryStore(), progress)
    with byte_progress(session.world, "comparing") as progress:
        lacking = _survey(session, planned, node.did, progress)
    _require_one_feed(node, lacking)
    if getattr(given, "dry_run", False):
        session.show_own(
            {
                "dry_run": True,
                "node": str(node.did),
                "archives": [link.examined.archive.name for link in planned.chain],
                "blocks_to_add": len(lacking.blocks),
                "content_to_add": len(lacking.content),
                "damaged_there": lacking.damaged,
                "blocks_known": lacking.blocks_known,
                "content_known": lacking.content_known,
                "root": planned.newest.root,
            }
        )
        return Exit.DONE
    with byte_progress(session.world, "restoring") as progress:
        named = planned.newest.federation
        sending = _Sending(session, "" if named is None else named.id, lacking)
        sending.all(planned, progress)
    return _end(session, given, node, sending.counts, lacking.damaged)


def _end(session: Session, given: argparse.Namespace, node: _Node, counts: dict[str, int], damaged: int) -> Exit:
    """Have the node verify itself, and release it where the operator vouches for that."""
    if getattr(given, "no_newer_blocks", False):
        session.client.write("/admin/resume", {"no_newer_blocks": True}, key=session.key_for("resume"))
    deep = getattr(given, "deep", False)
    report = session.client.get("/dag/verify", [("deep", "true" if deep else "false")]).document()
    findings = report.parts("findings")
    held = session.client.get("/status").document().part("writer").value_or_none("held")
    session.show_own(
        {
            "node": str(node.did),
            **counts,
            **({"were_damaged": damaged} if damaged else {}),
            "root": session.client.get("/dag/root").document().text("root"),
            "verified": "deep" if deep else "plain",
            "findings": len(findings),
            **({"held": held} if held else {}),
        }
    )
    for finding in findings:
        session.world.say(f"{finding.text('where')}: {finding.text('what')}")
    if not report.truth("ok") or findings:
        return Exit.NOT_FOUND_OR_UNVERIFIED
    return Exit.REFUSED if counts["refused"] else Exit.DONE


def _ask_node(session: Session) -> _Node:
    status, root = (session.client.get(path).document() for path in ("/status", "/dag/root"))
    try:
        did = Did.parse(status.text("did"))
        federation = status.part("federation").text_or_none("id")
        named = None if federation is None else Cid.parse(federation)
    except Invalid as error:
        raise unexpected(str(error)) from error
    for head in root.parts("heads"):
        if head.text("author") == str(did):
            return _Node(did, named, int(head.value("sequence")) + 1, head.text("cid"))
    return _Node(did, named, 0, None)


def _plan(node: _Node, examined: list[Examined], *, as_new: bool, skips_damaged: bool) -> Plan:
    """The chain, which must be whole by itself. Raises `ForeignArchive`, and as `restore_plan.plan` does."""
    planned = plan(examined, MemoryStore(), configured=node.did, as_new=as_new, skips_damaged=skips_damaged)
    named = planned.newest.federation
    if named is None:
        raise ForeignArchive("the backup is of a node in no federation: there is nothing in it for a node that runs")
    if node.federation is not None and str(node.federation) != named.id:
        raise ForeignArchive(
            f"the backup is of the federation {named.id}, this node is in {node.federation}: restore it into a store "
            "of its own, with --offline"
        )
    return planned


def _require_one_feed(node: _Node, lacking: _Lacking) -> None:
    """The archive's own blocks go on where the node's end. Raises `ForeignArchive`."""
    first = None if lacking.own_first is None else lacking.own_first.header
    if first is None:
        return
    previous = None if first.previous is None else str(first.previous)
    if (first.sequence, previous) != (node.own_count, node.own_head):
        raise ForeignArchive(
            f"the backup and this node have different blocks of {node.did} with number {first.sequence}: one key was "
            "used by two nodes; keep the one whose blocks the other members have"
        )


# What the node lacks


def _survey(session: Session, planned: Plan, own: Did, on_bytes: Callable[[int], None]) -> _Lacking:
    found = _Lacking()
    for name, data in _parts(planned, on_bytes):
        if name.startswith("blocks/"):
            blocks = dict(read_car(data))
            for cid, is_damaged in _not_whole(session, list(blocks)):
                found.blocks[cid] = None
                if is_damaged:
                    found.damaged += 1
                else:
                    _note_own(found, parse_block(blocks[cid]), own)
            found.blocks_known += sum(1 for cid in blocks if cid not in found.blocks)
        elif name.startswith("content/") and name.endswith(".jsonl"):
            lines = {line.cid: line for line in archive_parts.read_content_lines(data)}
            unknown = [cid for cid in lines if cid not in found.content]
            lacked = dict(_not_whole(session, unknown))
            found.damaged += sum(lacked.values())
            found.content_known += len(unknown) - len(lacked)
            found.content.update((cid, line) for cid, line in lines.items() if cid in lacked or cid in found.content)
    return found


def _note_own(found: _Lacking, block: Block, own: Did) -> None:
    if block.header.author == own:
        found.own_first = found.own_first or block
        found.own_newest = block


def _not_whole(session: Session, names: list[Cid]) -> Iterator[tuple[Cid, bool]]:
    """Those that the node lacks, and those that it has and that are damaged there, with which of the two it is."""
    for begin in range(0, len(names), NAMES_MAX):
        page = [str(cid) for cid in names[begin : begin + NAMES_MAX]]
        answer = session.client.ask("/admin/restore/lacking", {"cids": page}).document()
        for field_name, is_damaged in (("cids", False), ("damaged", True)):
            named = answer.value(field_name)
            if not isinstance(named, list) or not set(named) <= set(page):
                raise unexpected("it names other blocks than were asked after")
            yield from ((Cid.parse(text), is_damaged) for text in named)


# Sending


class _Sending:
    """Sends parts, one request each, and adds up what became of them."""

    def __init__(self, session: Session, federation: str, lacking: _Lacking) -> None:
        self.counts = dict.fromkeys(COUNTS, 0)
        self.counts["blocks_known"], self.counts["content_known"] = lacking.blocks_known, lacking.content_known
        self._session = session
        self._federation = federation
        self._lacking = lacking
        self._told = 0

    def all(self, planned: Plan, on_bytes: Callable[[int], None]) -> None:
        """Everything the node lacks, in the archives' order."""
        newest = self._lacking.own_newest
        if newest is not None:
            # Refused, for what it builds on is not there yet; but the node knows from then on that its feed is longer.
            self._post(_files("blocks", [(newest.cid, newest.data)], {}))
        for name, data in _parts(planned, on_bytes):
            folder, suffix = name.partition("/")[0], name.rpartition(".")[2]
            if suffix == "car" and folder in {"blocks", "evidence", "content"}:
                wanted = [(cid, block) for cid, block in read_car(data) if self._is_wanted(folder, cid)]
                if wanted:
                    self._count(self._post(_files(folder, wanted, self._lacking.content)))

    def _is_wanted(self, folder: str, cid: Cid) -> bool:
        match folder:
            case "blocks":
                return cid in self._lacking.blocks
            case "content":
                return cid in self._lacking.content
            case _:
                return True

    def _post(self, files: list[Entry]) -> Document:
        body = b"".join(
            piece
            for file in files
            for piece in (tar.entry_head(file.name, len(file.data), 0), file.data, tar.padding(len(file.data)))
        )
        body += tar.END
        query = [("federation", self._federation)]
        return self._session.client.send(
            "/admin/restore", io.BytesIO(body), tar.MEDIA_TYPE, query, size=len(body)
        ).document()

    def _count(self, answer: Document) -> None:
        for name in COUNTS:
            self.counts[name] += int(answer.value(name))
        for reason in answer.parts("reasons"):
            if self._told < REASONS_SHOWN_MAX:
                self._told += 1
                self._session.world.say(f"{reason.text('cid')} was not taken: {reason.text('reason')}")


def _files(folder: str, items: list[tuple[Cid, bytes]], lines: dict[Cid, ContentLine]) -> list[Entry]:
    """Parts as they stand in an archive, numbered anew."""
    car = Entry(part_name(folder, 1, "car"), archive_parts.write_car(items))
    if folder != "content":
        return [car]
    kept = b"".join(archive_parts.write_content_line(replace(lines[cid], has_bytes=True)) for cid, _ in items)
    return [Entry(part_name(folder, 1, "jsonl"), kept), car]


def _parts(planned: Plan, on_bytes: Callable[[int], None]) -> Iterator[tuple[str, bytes]]:
    for link in planned.chain:
        for part, data in known_parts(link.examined.archive, link.manifest):
            on_bytes(part.size)
            yield part.name, data
