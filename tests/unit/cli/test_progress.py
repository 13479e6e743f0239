import io

import pytest

from icn.cli.progress import Progress, progress
from icn.cli.world import World


def world_of(columns):
    return World(
        environ=dict,
        stdin=io.BytesIO(),
        stdout=io.BytesIO(),
        stderr=io.BytesIO(),
        pause=lambda _: None,
        random=bytes,
        terminal_columns=columns,
    )


def told(columns, times):
    world = world_of(columns)
    clock = iter([0.0, *times])
    line = Progress(world, lambda: next(clock))
    for number, _ in enumerate(times):
        line.tell(f"row {number}" + "0" * (3 - number))
    line.clear()
    return world.stderr.getvalue().decode()


@pytest.mark.parametrize(
    ("columns", "times", "text"),
    [
        (80, [0.1, 0.9], ""),
        (80, [0.1, 1.1], "\rrow 100\r       \r"),
        (80, [1.0, 1.1, 1.3], "\rrow 0000\rrow 20  \r      \r"),
        (None, [2.0, 3.0], ""),
    ],
)
def test_only_what_is_long_is_told_only_to_people_and_not_all_the_time(columns, times, text):
    assert told(columns, times) == text


def test_the_line_is_gone_when_the_work_fails():
    world = world_of(80)

    def fail():
        with progress(world) as line:
            line._next = 0.0
            line.tell("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert world.stderr.getvalue() == b"\rhalf\r    \r"
