"""What `load` gives: the settings, where each came from, and what an operator should know about them."""

from collections.abc import Mapping
from dataclasses import dataclass

from icn.config.schema import Settings
from icn.config.sources import Origin


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A complete configuration that passed every check."""

    settings: Settings
    origins: Mapping[str, Origin]
    """By canonical key, for every setting."""
    warnings: tuple[str, ...]
    """For the log at start and for `config check`."""
