"""A stage of a pipeline: takes items one after the other, and tells in the end what came of them.

A caller with processors to spare may have it work elsewhere, while the items that follow are made. What it tells is
the same either way. Not here: the processes (adapters.archive.elsewhere).
"""

from typing import Protocol, TypeVar

Item_contra = TypeVar("Item_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Stage(Protocol[Item_contra, Result_co]):
    """Works on what it is given, in the order in which it is given."""

    def take(self, item: Item_contra, /) -> None:
        """The next item, which may be worked on later. Raises what went wrong with this one or an earlier one."""

    def end(self) -> Result_co:
        """There are no more. What came of all. Raises what went wrong."""

    def abandon(self) -> None:
        """There are no more, and nobody asks what came of them. Raises what went wrong with those that were taken."""
