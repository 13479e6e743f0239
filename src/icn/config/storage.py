"""The settings of the store, as its adapters understand them.

Apart from `assemble`, which knows all of a node: a command that works on a store should not wait for the rest of it.
"""

from icn.adapters.storage.opening import StorageSettings
from icn.config.schema import Settings


def storage(settings: Settings) -> StorageSettings:
    """Where the node keeps its data."""
    chosen = settings.storage
    url = chosen.connection_string
    return StorageSettings(
        chosen.backend,
        path=chosen.path,
        url=url.reveal() if url is not None and chosen.backend == "postgresql" else None,
        connections_max=chosen.max_connections,
        connection_timeout_ms=chosen.connection_timeout_ms,
    )
