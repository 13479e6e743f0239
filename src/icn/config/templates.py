"""Layers of defaults under a name: what `--test-mode` means, and the profiles of `config init`.

A template sits below the file: it changes defaults, and what an operator wrote stays (surface, "Configuration"). The
origin of such a value says so. Not here: any other effect of test mode; there is none in configuration.
"""

from collections.abc import Mapping

TEST_MODE: Mapping[str, object] = {
    "runtime.environment": "development",
    "network.p2p_enabled": False,
    "storage.backend": "memory",
}
"""For `runtime.test_mode` (surface, "Safety at start"): nothing touches the disk, nothing leaves the machine."""

TEST_MODE_WITHOUT_API_KEY: Mapping[str, object] = {"security.require_auth": False}
"""Added where no key is configured, so that `icn-node --test-mode` and `icn-cli info` work as the guide types them.
Only on a loopback address: `check` insists on an explicit `require_auth = false` elsewhere."""

PROFILES: Mapping[str, Mapping[str, object]] = {
    "development": {
        "runtime.environment": "development",
        "runtime.test_mode": True,
        "network.http_listen_addr": "127.0.0.1:7845",
        "network.p2p_enabled": False,
        "storage.backend": "memory",
        "identity.generate_new_key": True,
        "security.api_key": "dev-key-123",
        "security.require_auth": False,
    },
    "single_node": {
        "runtime.environment": "production",
        "runtime.data_dir": "./icn_data",
        "network.http_listen_addr": "127.0.0.1:7845",
        "network.p2p_enabled": False,
        "storage.backend": "sqlite",
        "identity.generate_new_key": True,
        "security.api_key_env": "ICN_API_KEY",
        "security.require_auth": True,
    },
}
"""Files that `config init --profile` writes; the same as those of their names in `configs/`."""
