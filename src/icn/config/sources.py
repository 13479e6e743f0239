"""Where a value comes from: the layers in their order, the origin of a value, and the one reading of the environment.

Precedence: defaults, template, file, environment, flags (surface, "Configuration").
"""

import os
from dataclasses import dataclass, field
from enum import IntEnum

from icn.kernel.errors import ConfigError


class Layer(IntEnum):
    """Later ones win."""

    DEFAULT = 0
    TEMPLATE = 1
    FILE = 2
    ENVIRONMENT = 3
    FLAG = 4


@dataclass(frozen=True, slots=True)
class Origin:
    """What set a value, precisely enough to go there and change it."""

    layer: Layer
    where: str
    """`node.toml:12`, `environment ICN_API_KEY`, `flag --api-key`, `default`, `test mode`."""
    causes: tuple[str, ...] = ()
    """What the value was taken from in turn: a variable, a file, an expansion."""
    written: str | None = None
    """The text before `${NAME}` was replaced in it; shown instead of the value, which may hold a secret."""

    @property
    def explicit(self) -> bool:
        """Whether the operator wrote it, as opposed to a default or a template."""
        return self.layer >= Layer.FILE

    def __str__(self) -> str:
        return ", from ".join((self.where, *self.causes))


@dataclass(frozen=True, slots=True)
class Given:
    """A value as a source holds it, under the key as it was spelt there."""

    key: str
    value: object = field(repr=False)
    origin: Origin
    textual: bool
    """From a source that has only text: numbers and truth values are read from it."""
    item_places: tuple[str, ...] = ()
    """For a list in a file: where each item stands."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration."""

    where: str
    what: str
    causes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join((f"{self.where}: {self.what}", *(f"    from {cause}" for cause in self.causes)))


class ConfigurationRefused(ConfigError):
    """Everything that is wrong with the configuration, together: one start per mistake would be a nuisance."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class Unusable(ConfigError):
    """A value that a source refers to cannot be had. The loader turns it into a `Problem` with its place."""

    def __init__(self, what: str, causes: tuple[str, ...] = ()) -> None:
        self.what = what
        self.causes = causes
        super().__init__(what)


def process_environment() -> dict[str, str]:
    """The environment of this process. Programs pass it to `load`; nobody else reads it."""
    return dict(os.environ)
