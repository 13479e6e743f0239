"""Prints blocks: aligned text where output is piped, drawn where it is a terminal.

Piped output is complete: nothing shortened, every column, so that scripts can cut it up. On a terminal names as long as
DIDs are shortened in tables, and the columns that would not fit in 80 are left to `--output json`.
Rich is imported only to draw.
"""

from collections.abc import Sequence

from icn.cli.blocks import Block, Facts, Line, cell
from icn.cli.world import COLUMNS, World


def render(blocks: Sequence[Block], world: World) -> None:
    """Print the blocks, with an empty line between."""
    if world.draws:
        from icn.cli.drawing import drawn

        world.stdout.write(drawn(blocks, world.terminal_columns or COLUMNS).encode(errors="backslashreplace"))
    else:
        world.print("\n\n".join(plain(block) for block in blocks))


def plain(block: Block) -> str:
    """Aligned text without colours."""
    if isinstance(block, Line):
        return cell(block.value)
    if isinstance(block, Facts):
        return _aligned([[name, cell(value)] for name, value in block.pairs])
    head = [f"{block.title}:"] if block.title else []
    if not block.rows:
        return "\n".join([*head, block.when_empty])
    headings = [column.heading for column in block.columns]
    return "\n".join([*head, _aligned([headings, *([cell(value) for value in row] for row in block.rows)])])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
