"""Draws facts and tables for a terminal. The only module here that imports Rich; colours obey NO_COLOR."""

import io
from collections.abc import Sequence
from typing import assert_never

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from icn.cli.blocks import Block, Column, Facts, Line, Show, Table, cell

SHORT_FROM_CHARS = 24
"""Names up to here are not shortened."""
REST_CHARS_MAX = 240
"""An event may carry a whole receipt; `--output json` has all of it."""


def drawn(blocks: Sequence[Block], columns: int) -> str:
    """The blocks as text for a terminal of this width, with an empty line between."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=columns, highlight=False, soft_wrap=False)
    for number, block in enumerate(blocks):
        if number:
            console.print()
        match block:
            case Line():
                console.print(Text(cell(block.value)), soft_wrap=True)
            case Facts():
                console.print(_facts(block))
            case Table():
                console.print(_table(block))
            case _:
                assert_never(block)
    return file.getvalue()


def shortened(text: str) -> str:
    """A long name by its ends: `did:key:z6Mk…8fGh`."""
    if len(text) <= SHORT_FROM_CHARS:
        return text
    prefix = "did:key:" if text.startswith("did:key:") else ""
    return f"{text[len(prefix) :][:6]}…{text[-6:]}"


def _facts(facts: Facts) -> RenderableType:
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.pairs:
        grid.add_row(Text(name), Text(cell(value)))
    return grid


def _table(table: Table) -> RenderableType:
    if not table.rows:
        return Text(f"{table.title}: {table.when_empty}" if table.title else table.when_empty, style="dim")
    shown = [(place, column) for place, column in enumerate(table.columns) if column.show is not Show.PIPED_ONLY]
    grid = Grid(box=box.SIMPLE_HEAD, title=table.title or None, title_justify="left", pad_edge=False, show_edge=False)
    for _, column in shown:
        grid.add_column(Text(column.heading), overflow="fold", no_wrap=column.show is not Show.REST)
    for row in table.rows:
        grid.add_row(*(Text(_as_shown(column, cell(row[place]))) for place, column in shown))
    return grid


def _as_shown(column: Column, text: str) -> str:
    match column.show:
        case Show.SHORT:
            return shortened(text)
        case Show.TIME:
            return text[:19].replace("T", " ")
        case Show.REST:
            return text if len(text) <= REST_CHARS_MAX else text[:REST_CHARS_MAX] + "…"
        case Show.WHOLE | Show.PIPED_ONLY:
            return text
