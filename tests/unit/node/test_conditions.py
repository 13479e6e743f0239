"""The machine is looked at, and the engine is told: when to take no jobs, and when there is clearly enough again."""

import asyncio

import pytest

from icn.node.conditions import TOLD_EVERY_LOOKS, ConditionsWatch, SheddingLimits
from icn.services.inputs import Conditions, Strain

FINE = Conditions(places=4, strain=None)


class Machine:
    def __init__(self, *, refuses: int = 0) -> None:
        self.depth = 0
        self.disk: int | None = 10_000
        self.memory: int | None = 10_000
        self.places = 4
        self.told: list[Conditions] = []
        self.refuses = refuses
        self.watch = ConditionsWatch(
            tell=self.tell,
            places=lambda: self.places,
            queue_depth=lambda: self.depth,
            disk_free=lambda: self.disk,
            memory_free=lambda: self.memory,
            limits=SheddingLimits(queue_inputs=100, disk_bytes=1_000, memory_bytes=400),
            pause=self.pause,
        )
        self.script: list[tuple[str, object]] = []

    def tell(self, conditions: Conditions) -> bool:
        if self.refuses:
            self.refuses -= 1
            return False
        self.told.append(conditions)
        return True

    async def pause(self, _seconds: float) -> None:
        if not self.script:
            raise asyncio.CancelledError
        name, value = self.script.pop(0)
        setattr(self, name, value)

    def run(self, *script: tuple[str, object]) -> list[Conditions]:
        self.script = list(script)

        async def live() -> None:
            with pytest.raises(asyncio.CancelledError):
                await self.watch.live()

        asyncio.run(live())
        return self.told


def short_of(strain: Strain) -> Conditions:
    return Conditions(places=4, strain=strain)


def test_the_engine_is_told_what_changes_and_not_what_stays() -> None:
    machine = Machine()
    assert machine.run(("places", 4), ("places", 2), ("places", 2)) == [FINE, Conditions(places=2, strain=None)]


@pytest.mark.parametrize(
    ("name", "strain", "edge", "short", "still", "enough"),
    [
        ("depth", Strain.QUEUE, 99, 100, 50, 49),
        ("disk", Strain.DISK, 1_000, 999, 1_249, 1_250),
        ("memory", Strain.MEMORY, 400, 399, 499, 500),
    ],
)
def test_what_is_short_stays_short_until_there_is_clearly_more(
    name: str, strain: Strain, edge: int, short: int, still: int, enough: int
) -> None:
    machine = Machine()
    seen = []
    for amount in (edge, short, still, enough, still):
        setattr(machine, name, amount)
        seen.append(machine.watch.look())
    assert seen == [FINE, short_of(strain), short_of(strain), FINE, FINE]


def test_what_cannot_be_known_is_not_short() -> None:
    assert Machine().run(("disk", None), ("memory", None)) == [FINE]


def test_what_the_engine_could_not_hear_is_told_again() -> None:
    assert Machine(refuses=2).run(("places", 4), ("places", 4), ("places", 4)) == [FINE]


def test_an_engine_that_began_anew_hears_it_within_a_while() -> None:
    assert len(Machine().run(*[("places", 4)] * TOLD_EVERY_LOOKS)) == 2
