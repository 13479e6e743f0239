"""Other spellings of a key, mapped once: the guide spells some things in several ways, and all of them work.

The same table serves the file, `--set` and the environment, where `ICN_API_KEY` is the flat spelling `api_key`.
A key is accepted in place of its canonical one and means exactly the same.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alias:
    """Another spelling of the setting `canonical`, perhaps in another unit."""

    spelling: str
    canonical: str
    scale: int | None = None
    """What one unit is inside; None: as in the canonical spelling."""


ALIASES = (
    Alias("api.api_key", "security.api_key"),
    Alias("api.api_key_env", "security.api_key_env"),
    Alias("api.require_auth", "security.require_auth"),
    Alias("mesh.max_concurrent_jobs", "performance.max_concurrent_jobs"),
    Alias("logging.level", "runtime.log_level"),
    Alias("network.connection_timeout_secs", "network.connection_timeout", 1000),
    Alias("network.connection_timeout_ms", "network.connection_timeout", 1),
    Alias("storage.connection_timeout_secs", "storage.connection_timeout", 1000),
    Alias("storage.connection_timeout_ms", "storage.connection_timeout", 1),
    Alias("mana_ledger_path", "storage.mana_ledger_path"),
    Alias("environment", "runtime.environment"),
    Alias("test_mode", "runtime.test_mode"),
    Alias("log_level", "runtime.log_level"),
    Alias("data_dir", "runtime.data_dir"),
    Alias("http_listen_addr", "network.http_listen_addr"),
    Alias("p2p_enabled", "network.p2p_enabled"),
    Alias("p2p_listen_addr", "network.p2p_listen_addr"),
    Alias("bootstrap_peers", "network.bootstrap_peers"),
    Alias("key_passphrase", "identity.key_passphrase"),
    Alias("node_did", "identity.node_did"),
    Alias("api_key", "security.api_key"),
)
