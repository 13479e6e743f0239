"""Federations as members and strangers attack them, and a store that counts what it is asked."""

from collections.abc import Iterator

from icn.domain.federation.model import JoinPolicy
from icn.services.commands import Remove
from icn.stores.kv import KeyValueStore
from support import builders
from support.world import FaultyStore, World, terms

NAMES = ("a", "b", "c", "d")


class ReadsNoted(FaultyStore):
    """Keeps count of what is looked up."""

    def __init__(self, inner: KeyValueStore) -> None:
        super().__init__(inner)
        self.read: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        self.read.append(key)
        return super().get(key)

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        for key, value in super().scan(prefix, after=after):
            self.read.append(key)
            yield key, value


def lenient(policy: JoinPolicy = JoinPolicy.OPEN, *names: str) -> World:
    """A federation that has removed a member: records that do not fit are void from here on, and their blocks stay."""
    world = World()
    for name in (*NAMES, *names, "x"):
        world.add(name, terms())
    world.found("a", builders.policy(join_policy=policy), founders=(*NAMES[1:], *names, "x"))
    world.link_all()
    world.pass_time(2_000)
    for voter in NAMES:
        if not world["a"].engine.state.federation.was_removed(world["x"].did):
            world.done(voter, Remove(world["x"].did, "gone bad"))
            world.pass_time(3_000)
    assert world["a"].engine.state.federation.was_removed(world["x"].did)
    return world


def invited() -> World:
    """A federation that nobody joins without being invited."""
    world = World()
    for name in NAMES:
        world.add(name, terms())
    world.found("a", builders.policy(join_policy=JoinPolicy.INVITE), founders=NAMES[1:])
    world.link_all()
    world.pass_time(2_000)
    return world
