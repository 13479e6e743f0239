from pathlib import Path

import pytest

from icn.adapters.archive.age_keys import identity_text, recipient_text
from icn.config.aliases import ALIASES
from icn.config.catalog import Form, catalog
from icn.config.database_url import DatabaseUrl
from icn.config.load import STORE_SECTIONS
from icn.config.sources import Layer
from icn.config.values import Bucket, HostPort, Secret
from icn.domain.federation.invitation import InvitationPaper, line_of, seal_invitation
from icn.kernel.ids import Did, PeerId
from icn.kernel.instant import Instant
from icn.protocol.libp2p.multiaddr import Multiaddr
from support import builders

PEER = str(PeerId.from_public_key(bytes(range(32))))
OTHER_PEER = str(PeerId.from_public_key(bytes(32)))
DID = str(Did.from_public_key(bytes(range(32))))
B1, B2 = f"/ip4/10.0.1.100/tcp/7000/p2p/{PEER}", f"/dns4/b.example/tcp/7001/p2p/{OTHER_PEER}"


def test_a_node_without_any_configuration_is_a_production_node_on_loopback(loading):
    settings = loading().settings
    assert settings.runtime.environment == "production"
    assert settings.network.http_listen_addr == HostPort("127.0.0.1", 7845)
    assert settings.network.p2p_listen_addr == Multiaddr.parse("/ip4/0.0.0.0/tcp/7000")
    assert settings.monitoring.metrics_bind_addr == HostPort("127.0.0.1", 9090)
    assert settings.network.connection_timeout_ms == 30_000
    assert settings.storage.backend == "sqlite"
    assert settings.storage.path == Path("icn_data/dag.sqlite")
    assert settings.identity.key_path == Path("icn_data/identity.key")
    assert settings.security.require_auth
    assert settings.mesh.bid_window_ms == 5000
    assert settings.federation.join_policy == "invite"


def test_development_has_a_short_bid_window_and_open_joining(loading):
    loaded = loading(env={"ICN_RUNTIME_ENVIRONMENT": "development"})
    assert loaded.settings.mesh.bid_window_ms == 1000
    assert loaded.settings.federation.join_policy == "open"
    assert str(loaded.origins["mesh.bid_window_ms"]) == "default in development"


def test_the_data_directory_moves_the_files_that_have_no_path_of_their_own(loading):
    loaded = loading(env={"ICN_DATA_DIR": "/var/lib/icn", "ICN_STORAGE_PATH": "/fast/dag.sqlite"})
    assert loaded.settings.identity.key_path == Path("/var/lib/icn/identity.key")
    assert loaded.settings.storage.path == Path("/fast/dag.sqlite")


def test_each_layer_outranks_those_before_it(loading):
    file, env, flag = "[network]\nmax_peers = 1", {"ICN_NETWORK_MAX_PEERS": "2"}, {"network.max_peers": "3"}
    steps = [
        (loading(), 50, Layer.DEFAULT, "default"),
        (loading(file), 1, Layer.FILE, f"{loading.path}:2"),
        (loading(file, env), 2, Layer.ENVIRONMENT, "environment ICN_NETWORK_MAX_PEERS"),
        (loading(file, env, flag), 3, Layer.FLAG, "flag --network.max_peers"),
        (loading(file, None, flag), 3, Layer.FLAG, "flag --network.max_peers"),
    ]
    for loaded, value, layer, where in steps:
        assert loaded.settings.network.max_peers == value
        assert loaded.origins["network.max_peers"].layer is layer
        assert loaded.origins["network.max_peers"].where == where


def test_a_template_outranks_defaults_and_nothing_else(loading):
    loaded = loading(env={"ICN_TEST_MODE": "1"})
    assert (loaded.settings.storage.backend, loaded.settings.network.p2p_enabled) == ("memory", False)
    assert loaded.settings.runtime.environment == "development"
    assert loaded.settings.mesh.bid_window_ms == 1000
    assert loaded.origins["storage.backend"].layer is Layer.TEMPLATE
    assert str(loaded.origins["storage.backend"]) == "test mode"
    own = loading('[runtime]\ntest_mode = true\n[storage]\nbackend = "sqlite"\n[network]\np2p_enabled = true')
    assert (own.settings.storage.backend, own.settings.network.p2p_enabled) == ("sqlite", True)


def test_every_setting_has_an_origin(loading):
    assert set(loading().origins) == set(catalog().entries)


INVITATION = line_of(
    seal_invitation(
        InvitationPaper(
            builders.cid("genesis"), "coop", builders.did(1), ("/ip4/10.0.0.1/tcp/7000",), bytes(16), Instant(1), None
        ),
        builders.signer(1),
    )
)

RECIPIENT = recipient_text(bytes(31) + b"\x09")
IDENTITY = identity_text(bytes(32))
SAMPLES = {
    "runtime.environment": ("development", "development"),
    "runtime.test_mode": (True, True),
    "runtime.log_level": ("warning", "warning"),
    "runtime.standby": (True, True),
    "runtime.data_dir": ("/d", Path("/d")),
    "network.http_listen_addr": ("127.0.0.1:1", HostPort("127.0.0.1", 1)),
    "network.p2p_enabled": (False, False),
    "network.p2p_listen_addr": ("/ip4/127.0.0.1/tcp/7", Multiaddr.parse("/ip4/127.0.0.1/tcp/7")),
    "network.announce_addrs": (["/dns4/a.org/tcp/7"], (Multiaddr.parse("/dns4/a.org/tcp/7"),)),
    "network.bootstrap_peers": ([B1, B2], (Multiaddr.parse(B1), Multiaddr.parse(B2))),
    "network.discovery": ("client", "client"),
    "network.enable_mdns": (True, True),
    "network.min_peers": (5, 5),
    "network.max_peers": (7, 7),
    "network.memory_budget_mib": (64, 64 << 20),
    "network.connection_timeout": (9, 9000),
    "storage.backend": ("memory", "memory"),
    "storage.path": ("/p", Path("/p")),
    "storage.mana_ledger_path": ("./mana.sled", Path("mana.sled")),
    "storage.head_marker_path": ("/m/head", Path("/m/head")),
    "storage.connection_string": ("postgres://u:p@h/d", DatabaseUrl.parse("postgresql://u:p@h/d")),
    "storage.max_connections": (7, 7),
    "storage.connection_timeout": (8, 8000),
    "identity.key_path": ("/k", Path("/k")),
    "identity.key_passphrase": ("pass phrase", Secret("pass phrase")),
    "identity.key_passphrase_env": ("PP", "PP"),
    "identity.generate_new_key": (False, False),
    "identity.node_did": (DID, Did.parse(DID)),
    "security.api_key": ("k" * 32, Secret("k" * 32)),
    "security.api_key_env": ("MY_KEY", "MY_KEY"),
    "security.require_auth": (False, False),
    "monitoring.metrics_enabled": (False, False),
    "monitoring.metrics_bind_addr": ("127.0.0.1:2", HostPort("127.0.0.1", 2)),
    "performance.max_concurrent_jobs": (0, 0),
    "performance.jobs_memory_mib": (512, 512),
    "performance.min_free_memory_mib": (64, 64),
    "performance.min_free_disk_mib": (0, 0),
    "performance.mana_regeneration_rate": (11, 11),
    "performance.gc_interval": (60, 60),
    "network.failure_threshold": (4, 4),
    "network.open_timeout_secs": (6, 6_000),
    "network.retry_max_attempts": (5, 5),
    "network.retry_initial_delay_ms": (7, 7),
    "network.retry_max_delay_ms": (800, 800),
    "storage.scrub_interval": (61, 61),
    "storage.scrub_bytes_per_second": (65_537, 65_537),
    "mesh.job_retry_count": (3, 3),
    "mesh.bid_window_ms": (250, 250),
    "mesh.home_absence_secs": (60, 60),
    "mesh.blacklist_after_failures": (4, 4),
    "mesh.blacklist_cooldown_secs": (30, 30),
    "mesh.submissions_per_minute": (90, 90),
    "mesh.open_jobs_per_principal": (12, 12),
    "mesh.unsettled_receipts_max": (0, 0),
    "mesh.unsettled_after_secs": (60, 60),
    "mesh.recheck": ("sample", "sample"),
    "mesh.recheck_percent": (25, 25),
    "mesh.price_per_million_fuel": (2, 2),
    "mesh.price_per_gib_memory": (16, 16),
    "mesh.price_per_gib_transferred": (1024, 1024),
    "mesh.price_minimum": (3, 3),
    "executor.backend": ("ray", "ray"),
    "executor.ray_address": ("127.0.0.1:6379", HostPort("127.0.0.1", 6379)),
    "executor.ray_token": ("t", Secret("t")),
    "executor.ray_token_env": ("PP", "PP"),
    "executor.ray_tls_cert_path": ("/c/tls.crt", Path("/c/tls.crt")),
    "executor.ray_tls_key_path": ("/c/tls.key", Path("/c/tls.key")),
    "executor.ray_tls_ca_path": ("/c/ca.crt", Path("/c/ca.crt")),
    "executor.ray_workers_per_machine": (3, 3),
    "executor.ray_cache_path": ("/c/modules", Path("/c/modules")),
    "executor.isolation": ("limits", "limits"),
    "executor.compile_secs": (30, 30_000),
    "executor.jobs_per_worker": (50, 50),
    "executor.worker_memory_mib": (256, 256 * 2**20),
    "federation.name": ("coop-1", "coop-1"),
    "federation.join_policy": ("vote", "vote"),
    "federation.initial_grant": (5, 5),
    "federation.mana_cap": (6, 6),
    "federation.founders": ([DID], (Did.parse(DID),)),
    "federation.invitation": (INVITATION, Secret(INVITATION)),
    "backup.enabled": (True, True),
    "backup.target": ("s3://coop-backups/node-1", Bucket("coop-backups", "node-1")),
    "backup.interval_secs": (3600, 3600),
    "backup.full_every": (3, 3),
    "backup.keep_last": (4, 4),
    "backup.keep_days": (0, 0),
    "backup.drill_interval_secs": (0, 0),
    "backup.encrypt_to": ([RECIPIENT], (RECIPIENT,)),
    "backup.age_identity": (IDENTITY, Secret(IDENTITY)),
    "backup.passphrase": ("pass phrase", Secret("pass phrase")),
    "backup.passphrase_env": ("BP", "BP"),
    "backup.s3_endpoint": ("https://s3.example.org:9000/", "https://s3.example.org:9000"),
    "backup.s3_region": ("eu-central-1", "eu-central-1"),
    "backup.s3_access_key_id": ("AK", Secret("AK")),
    "backup.s3_secret_access_key": ("SK", Secret("SK")),
    "backup.s3_path_style": (False, False),
    "backup.s3_ca_path": ("/ca.pem", Path("/ca.pem")),
    "logging.format": ("text", "text"),
    "logging.output": ("/var/log/icn.log", Path("/var/log/icn.log")),
}


_PEM = {f"ICN_EXECUTOR_RAY_TLS_{name}_PATH": f"/c/{name}" for name in ("CERT", "KEY", "CA")}
NEEDS = {
    "executor.backend": {"ICN_EXECUTOR_RAY_ADDRESS": "127.0.0.1:6379", "ICN_ENVIRONMENT": "development"},
    **{
        f"executor.ray_tls_{name.lower()}_path": {
            variable: path for variable, path in _PEM.items() if f"_{name}_" not in variable
        }
        for name in ("CERT", "KEY", "CA")
    },
    "storage.connection_string": {"ICN_STORAGE_BACKEND": "postgresql"},
    "backup.enabled": {"ICN_BACKUP_TARGET": "/b"},
    "backup.s3_access_key_id": {"ICN_BACKUP_S3_SECRET_ACCESS_KEY": "s"},
    "backup.s3_secret_access_key": {"ICN_BACKUP_S3_ACCESS_KEY_ID": "k"},
}
"""What a sample is refused without."""


def as_text(value) -> str:
    return ",".join(value) if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else str(value)


def as_toml(value) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def value_of(loaded, key):
    entry = catalog().entries[key]
    return getattr(getattr(loaded.settings, entry.section), entry.attribute)


def test_the_samples_cover_the_schema():
    assert set(SAMPLES) == set(catalog().entries)


@pytest.mark.parametrize("key", SAMPLES)
def test_every_setting_can_be_given_in_file_environment_and_flag(loading, key):
    written, wanted = SAMPLES[key]
    section, _, name = key.partition(".")
    extra = {"MY_KEY": "m" * 32, "PP": "p", "BP": "b", **NEEDS.get(key, {})}
    variable = "ICN_" + key.replace(".", "_").upper()
    assert value_of(loading(f"[{section}]\n{name} = {as_toml(written)}", extra), key) == wanted
    assert value_of(loading(f'"{section}".{name} = {as_toml(written)}', extra), key) == wanted
    assert value_of(loading(env={variable: as_text(written), **extra}), key) == wanted
    assert value_of(loading(env=extra, flags={key: as_text(written)}), key) == wanted


@pytest.mark.parametrize("alias", ALIASES, ids=lambda alias: alias.spelling)
def test_every_alias_means_its_canonical_key(loading, alias):
    written, wanted = SAMPLES[alias.canonical]
    if alias.scale is not None:
        written = wanted // alias.scale
    env = {"MY_KEY": "m" * 32}
    section, dot, name = alias.spelling.rpartition(".")
    text = f"[{section}]\n{name} = {as_toml(written)}" if dot else f"{name} = {as_toml(written)}"
    variable = "ICN_" + alias.spelling.replace(".", "_").upper()
    assert value_of(loading(text, env), alias.canonical) == wanted
    assert value_of(loading(env={variable: as_text(written), **env}), alias.canonical) == wanted
    assert value_of(loading(env=env, flags={alias.spelling: as_text(written)}), alias.canonical) == wanted


@pytest.mark.parametrize(
    ("written", "backend"),
    [
        *[("SQLite", "sqlite"), ("MEMORY", "memory"), ("Sled", "sled"), ("LMDB", "sled"), ("RocksDB", "rocksdb")],
        *[("PostgreSQL", "postgresql"), ("postgres", "postgresql"), ("Postgres", "postgresql")],
    ],
)
def test_every_backend_has_its_names_in_any_case(loading, written, backend):
    url = {"storage.connection_string": "postgres://h/d"} if backend == "postgresql" else {}
    assert loading(f'[storage]\nbackend = "{written}"', flags=url).settings.storage.backend == backend
    assert loading(flags={"storage.backend": written, **url}).settings.storage.backend == backend


@pytest.mark.parametrize(
    ("backend", "path"),
    [("sqlite", "/d/dag.sqlite"), ("sled", "/d/dag.sled"), ("rocksdb", "/d/dag.rocksdb"), ("memory", None)],
)
def test_every_backend_has_its_place_in_the_data_directory(loading, backend, path):
    loaded = loading(env={"ICN_DATA_DIR": "/d", "ICN_STORAGE_BACKEND": backend})
    assert loaded.settings.storage.place == path
    assert loaded.settings.storage.path == (path and Path(path))


def test_a_node_with_a_database_server_stands_by_unless_told_otherwise(loading):
    postgres = {"ICN_STORAGE_BACKEND": "postgres", "ICN_STORAGE_PATH": "postgres://h/d"}
    assert loading(env=postgres).settings.runtime.standby
    assert not loading(env=postgres, flags={"runtime.standby": "false"}).settings.runtime.standby
    assert not loading(env={"ICN_STORAGE_BACKEND": "sled"}).settings.runtime.standby


def test_a_plain_address_is_a_multiaddr_too(loading):
    for written, wanted in [
        ("0.0.0.0:7001", "/ip4/0.0.0.0/tcp/7001"),
        ("[::]:7001", "/ip6/::/tcp/7001"),
        ("localhost:7001", "/dns/localhost/tcp/7001"),
    ]:
        assert str(loading(env={"ICN_P2P_LISTEN_ADDR": written}).settings.network.p2p_listen_addr) == wanted


def test_two_spellings_in_one_layer_may_agree_and_may_not_differ(loading):
    agreeing = "[network]\nconnection_timeout = 30\nconnection_timeout_ms = 30000"
    assert loading(agreeing).settings.network.connection_timeout_ms == 30_000
    message = loading.refused("[network]\nconnection_timeout = 30\nconnection_timeout_ms = 30001")
    assert message == f"node.toml:3: network.connection_timeout is set differently by {'node.toml'}:2"
    message = loading.refused(env={"ICN_LOG_LEVEL": "info", "ICN_LOGGING_LEVEL": "error"})
    assert "ICN_LOG_LEVEL" in message
    assert "ICN_LOGGING_LEVEL" in message


def test_a_program_that_only_needs_the_store_is_not_hindered_by_the_rest(loading):
    text = (
        '[network]\nmax_peers = 0\nhttp_listen_addr = "0.0.0.0:1"\n[security]\napi_key_env = "ICN_OURS"\n'
        '[federation]\nname = "${NOWHERE}"\n[storage]\npath = "/x"\n'
        '[runtime]\ntest_mode = true\nenvironment = "production"\n'
    )
    sections = STORE_SECTIONS
    message = loading.refused(text, {"ICN_OURS_FILE": "/nowhere"}, sections=sections)
    assert message.startswith("node.toml:12: runtime.environment is production and runtime.test_mode is on")
    loaded = loading(text.replace("true", "false"), {"ICN_OURS_FILE": "/nowhere"}, sections=sections)
    assert loaded.settings.storage.path == Path("/x")
    assert not loaded.warnings
    assert loading('[network]\nhttp_listen_addr = "0.0.0.0:1"', sections=sections), "no key is needed for a store"
    message = loading.refused("[network]\nmax_peers = 0\nmax_pers = 1\n[storage]\npath = 5", sections=sections)
    assert [line.partition(" ")[0] for line in message.splitlines()] == ["node.toml:3:", "node.toml:5:"]


def test_settings_cannot_be_changed(loading):
    with pytest.raises(ValueError, match="frozen"):
        loading().settings.network.max_peers = 3


def test_every_secret_has_a_file_form():
    table = catalog()
    secrets = [entry for entry in table.entries.values() if entry.form is Form.SECRET]
    assert {f"{entry.key}_file" for entry in secrets} <= set(table.spellings)


def test_loading_leaves_the_file_as_it_is(loading):
    text = "# mine\n[network]\nmax_peers   =   1\n\n"
    loading(text)
    assert loading.path.read_text() == text
    assert list(loading.path.parent.iterdir()) == [loading.path]
