import pytest

from icn.adapters.archive.age_keys import identity_text, recipient_text
from icn.config.explain import show
from icn.domain.federation.invitation import InvitationPaper, line_of, seal_invitation
from icn.kernel.instant import Instant
from support import builders

KEY = {"ICN_API_KEY": "k" * 32}
OPEN = {"ICN_HTTP_LISTEN_ADDR": "0.0.0.0:7845"}
URL = "postgresql://icn@db.internal:5432/icn"
DEVELOPMENT = {"ICN_ENVIRONMENT": "development"}
NO_AUTH = {"ICN_SECURITY_REQUIRE_AUTH": "false"}


@pytest.mark.parametrize(
    "env",
    [OPEN, OPEN | DEVELOPMENT, OPEN | NO_AUTH, {"ICN_HTTP_LISTEN_ADDR": "[::]:7845"}, OPEN | {"ICN_TEST_MODE": "1"}],
)
def test_an_api_that_others_can_reach_needs_a_key(loading, env):
    message = loading.refused(env=env)
    assert "can be reached from other machines, but no API key is configured" in message
    assert "environment ICN_HTTP_LISTEN_ADDR" in message


def test_an_api_that_others_can_reach_is_not_opened_in_production(loading):
    message = loading.refused(env=OPEN | NO_AUTH | KEY)
    assert "require_auth is false (environment ICN_SECURITY_REQUIRE_AUTH)" in message


@pytest.mark.parametrize(
    "env",
    [OPEN | KEY, OPEN | DEVELOPMENT | NO_AUTH, OPEN | KEY | {"ICN_TEST_MODE": "1"}, NO_AUTH | DEVELOPMENT, NO_AUTH],
)
def test_what_is_safe_starts(loading, env):
    assert loading(env=env)


def test_a_first_wait_beyond_the_longest_is_refused(loading):
    message = loading.refused("[network]\nretry_initial_delay_ms = 2000")
    assert "node.toml:2" in message
    assert "retry_initial_delay_ms = 2000 is longer than network.retry_max_delay_ms = 1000" in message


def test_more_peers_are_not_wanted_than_are_allowed(loading):
    message = loading.refused("[network]\nmin_peers = 9\nmax_peers = 8")
    assert "network.min_peers = 9 is more than network.max_peers = 8" in message
    assert loading("[network]\nmax_peers = 8").settings.network.max_peers == 8, "the default gives way"
    assert loading("[network]\nretry_initial_delay_ms = 1000")


def test_test_mode_with_a_key_requires_it(loading):
    assert loading(env=KEY | {"ICN_TEST_MODE": "1"}).settings.security.require_auth
    without = loading(env={"ICN_TEST_MODE": "1"})
    assert not without.settings.security.require_auth
    assert str(without.origins["security.require_auth"]) == "test mode without an API key"


def test_test_mode_in_production_is_refused_when_production_was_asked_for(loading):
    message = loading.refused('[runtime]\ntest_mode = true\nenvironment = "production"')
    assert message.startswith("node.toml:3: runtime.environment is production and runtime.test_mode is on")


def test_the_database_of_postgresql_must_be_given(loading):
    message = loading.refused('[storage]\nbackend = "postgres"')
    assert message.startswith("node.toml:2: storage.backend is postgresql, and no database is given: add --db-url")


@pytest.mark.parametrize(
    ("env", "flags"),
    [
        ({"ICN_STORAGE_BACKEND": "postgres", "ICN_STORAGE_PATH": "/x"}, {"storage.connection_string": URL}),
        ({"ICN_STORAGE_BACKEND": "postgres", "ICN_STORAGE_CONNECTION_STRING": URL}, {"storage.path": "/x"}),
    ],
)
def test_a_path_beside_postgresql_is_refused(loading, env, flags):
    message = loading.refused(env=env, flags=flags)
    assert "storage.path is a path, and storage.backend is postgresql, which has a URL: remove the path" in message
    assert "from environment ICN_STORAGE_BACKEND" in message


@pytest.mark.parametrize("backend", ["sqlite", "sled", "rocksdb", "memory"])
@pytest.mark.parametrize("key", ["storage.path", "storage.connection_string"])
def test_a_database_url_beside_another_backend_is_refused(loading, backend, key):
    message = loading.refused(flags={"storage.backend": backend, key: URL})
    assert message == (
        f"flag --{key}: a database's URL is given, and storage.backend is {backend}, which has none: "
        "set storage.backend = postgresql, or remove the URL\n    from flag --storage.backend"
    )


def test_a_database_url_selects_no_backend_by_itself(loading):
    assert "storage.backend is sqlite" in loading.refused(env={"ICN_STORAGE_PATH": URL})


def test_a_place_given_for_a_backend_that_was_replaced_gives_a_warning(loading):
    postgres = f'[storage]\nbackend = "postgresql"\nconnection_string = "{URL}"'
    loaded = loading(postgres, flags={"storage.backend": "sled"})
    assert len(loaded.warnings) == 1
    assert loaded.warnings[0] == (
        f"storage.connection_string ({loading.path}:3) has no effect, "
        "because storage.backend is sled (flag --storage.backend)"
    )
    sqlite = '[storage]\nbackend = "sqlite"\npath = "/x"'
    loaded = loading(sqlite, flags={"storage.backend": "postgres", "storage.path": URL})
    assert loaded.settings.storage.place == URL
    loaded = loading(sqlite, {"ICN_STORAGE_BACKEND": "postgres"}, {"storage.connection_string": URL})
    assert [warning.partition(" ")[0] for warning in loaded.warnings] == ["storage.path"]


def test_the_same_database_may_be_given_twice_and_another_not(loading):
    twice = {"storage.backend": "postgres", "storage.path": URL.replace("postgresql:", "POSTGRES:")}
    loaded = loading(flags={**twice, "storage.connection_string": URL})
    assert loaded.settings.storage.place == URL
    message = loading.refused(flags={**twice, "storage.connection_string": URL + "2"})
    assert "storage.connection_string is set differently by flag --storage.path" in message
    higher = loading('[storage]\nbackend = "postgres"\npath = "postgres://other/db"', {"ICN_STORAGE_PATH": URL})
    assert higher.settings.storage.place == URL


@pytest.mark.parametrize(
    "peer",
    [
        "/ip4/bootstrap-ip/tcp/7000/p2p/QmBootstrapPeerId",
        "/ip4/10.0.1.100/tcp/7000/p2p/QmBootstrapPeer",
        "/ip4/10.0.1.101/tcp/7000/p2p/QmOtherPeer",
    ],
)
def test_the_placeholders_of_the_guide_are_refused_with_what_belongs_there(loading, peer):
    message = loading.refused(env={"ICN_BOOTSTRAP_PEERS": peer})
    assert "is the guide's placeholder: put the" in message
    assert "12D3KooW…" in message


def test_listeners_on_one_port_are_refused(loading):
    message = loading.refused('[network]\nhttp_listen_addr = "127.0.0.1:9090"')
    assert "monitoring.metrics_bind_addr takes the port 9090 that network.http_listen_addr has" in message
    assert "node.toml:2" in message
    assert loading('[network]\nhttp_listen_addr = "127.0.0.1:9090"\n[monitoring]\nmetrics_enabled = false')
    assert loading('[network]\nhttp_listen_addr = "127.0.0.1:9090"\n[monitoring]\nmetrics_bind_addr = "127.0.0.2:9090"')
    assert loading('[network]\nhttp_listen_addr = "127.0.0.1:0"\n[monitoring]\nmetrics_bind_addr = "127.0.0.1:0"')


@pytest.mark.parametrize(
    ("env", "warning"),
    [
        ({"ICN_STORAGE_BACKEND": "memory"}, "everything is lost"),
        ({"ICN_TEST_MODE": "1", "ICN_STORAGE_PATH": "/x"}, "storage.path (environment ICN_STORAGE_PATH) has no effect"),
        (
            {"ICN_STORAGE_MAX_CONNECTIONS": "9"},
            "storage.max_connections (environment ICN_STORAGE_MAX_CO",
        ),
        ({"ICN_STORAGE_CONNECTION_TIMEOUT_MS": "9"}, "storage.connection_timeout (environment ICN_STORAGE_CONNECTION_"),
        (NO_AUTH, "require_auth is false"),
        ({"ICN_MONITORING_METRICS_BIND_ADDR": "0.0.0.0:9090"}, "metrics on 0.0.0.0:9090 can be read"),
    ],
)
def test_what_is_perhaps_not_meant_gives_a_warning(loading, env, warning):
    warnings = loading(env=env).warnings
    assert len(warnings) == 1
    assert warning in warnings[0]


BACKUP = "[backup]\nenabled = true\n"
BUCKET = 'target = "s3://coop-backups/node-1"\n'
RECIPIENT = f"encrypt_to = [{recipient_text(bytes(31) + bytes([9]))!r}]\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BACKUP, "node.toml:2: backup.enabled is true, and backup.target is not set: name a folder"),
        (BACKUP + BUCKET + RECIPIENT + 'passphrase = "p"\n', "an age archive has recipients or a passphrase"),
        (BACKUP + BUCKET + RECIPIENT, "give an identity made for drills by backup.age_identity_file"),
        (
            BACKUP + BUCKET + 's3_access_key_id = "k"\n',
            "s3_access_key_id is set and backup.s3_secret_access_key is not",
        ),
        (BACKUP + BUCKET + 's3_secret_access_key = "k"\n', "backup.s3_access_key_id is not"),
        (BACKUP + BUCKET + 's3_endpoint = "http://nas.example"\n', "would carry archives, with all that members have"),
        (BACKUP + 'target = "ftp://x/y"\n', "is a URL"),
        (BACKUP + 'target = "s3://x"\n', "should be s3://bucket/prefix"),
        (BACKUP + BUCKET + 's3_endpoint = "nas.example"\n', "should begin with https://"),
        (BACKUP + BUCKET + 'encrypt_to = ["age1abc"]\n', "one looks like age1"),
        (BACKUP + BUCKET + 'age_identity = "AGE-SECRET-KEY-1ABC"\n', "age-keygen makes them"),
        (BACKUP + BUCKET + "interval_secs = 0\n", "should be at least 1"),
        (BACKUP + BUCKET + "keep_last = 0\n", "should be at least 1"),
    ],
)
def test_backups_that_could_not_work_are_refused_with_what_to_do(loading, text, says):
    message = loading.refused(text)
    assert says in message
    assert "SECRET-KEY-1ABC" not in message


@pytest.mark.parametrize(
    "text",
    [
        BUCKET,
        BUCKET + RECIPIENT + "drill_interval_secs = 0\n",
        BUCKET + RECIPIENT + f"age_identity = {identity_text(bytes(32))!r}\n",
        BUCKET + 's3_endpoint = "http://127.0.0.1:9000"\n',
        BUCKET + 's3_endpoint = "http://nas.example"\npassphrase = "p"\n',
        'target = "/mnt/backup/icn"\n',
    ],
)
def test_backups_that_can_work_are_accepted(loading, text):
    assert loading(BACKUP + text).settings.backup.enabled


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[backup]\ntarget = "/mnt/b"\n', "no backups are made"),
        (BACKUP + 'target = "/mnt/b"\ns3_region = "x"\n', "backup.s3_region (node.toml:4) has no effect"),
        (BACKUP + 'target = "./icn_data/b"\n', "what destroys the one destroys both"),
    ],
)
def test_backups_that_are_perhaps_not_meant_are_warned_of(loading, text, says):
    assert any(says in warning.replace(f"{loading.path.parent}/", "") for warning in loading(text).warnings)


def test_secrets_of_backups_are_stars(loading):
    loaded = loading(BACKUP + BUCKET + 's3_access_key_id = "topsecret1"\ns3_secret_access_key = "topsecret2"\n')
    shown = show(loaded, effective=True, origin=True)
    assert "topsecret" not in shown + repr(loaded.settings)
    assert 's3_secret_access_key = "********"' in shown


CLUSTER = {"ICN_EXECUTOR_BACKEND": "ray", "ICN_EXECUTOR_RAY_ADDRESS": "10.0.0.1:6379"}
TLS = {f"ICN_EXECUTOR_RAY_TLS_{name}_PATH": f"/etc/icn/{name}.pem" for name in ("CERT", "KEY", "CA")}
TOKEN = {"ICN_EXECUTOR_RAY_TOKEN": "t" * 64}


def test_a_cluster_has_an_address(loading):
    message = loading.refused('[executor]\nbackend = "ray"')
    assert message.startswith("node.toml:2: executor.backend is ray, and executor.ray_address is not set")


@pytest.mark.parametrize("env", [CLUSTER, CLUSTER | DEVELOPMENT])
def test_a_cluster_that_others_can_reach_has_a_token_and_tls(loading, env):
    assert "no token is configured; give the cluster's by ICN_EXECUTOR_RAY_TOKEN" in loading.refused(env=env | TLS)
    assert "without TLS the token" in loading.refused(env=env | TOKEN)
    assert loading(env=env | TLS | TOKEN).settings.executor.ray_token.reveal() == "t" * 64


def test_half_a_tls_pair_is_refused(loading):
    message = loading.refused(env=CLUSTER | TOKEN | {"ICN_EXECUTOR_RAY_TLS_CERT_PATH": "/c.pem"})
    assert "executor.ray_tls_cert_path is set and executor.ray_tls_key_path is not" in message


def test_a_cluster_on_the_loopback_may_be_open_in_development_only(loading):
    env = {"ICN_EXECUTOR_BACKEND": "ray", "ICN_EXECUTOR_RAY_ADDRESS": "127.0.0.1:6379"}
    assert loading(env=env | DEVELOPMENT).settings.executor.backend == "ray"
    assert "no token is configured" in loading.refused(env=env)


def test_what_is_said_of_a_cluster_without_one_is_warned_of(loading):
    (warning,) = loading(env={"ICN_EXECUTOR_RAY_WORKERS_PER_MACHINE": "3"}).warnings
    assert "ray_workers_per_machine" in warning
    assert "has no effect, because executor.backend is local" in warning


def test_an_invitation_without_peers_is_warned_of(loading):
    paper = InvitationPaper(
        builders.cid("genesis"), "coop", builders.did(1), ("/ip4/10.0.0.1/tcp/7000",), bytes(16), Instant(1), None
    )
    line = line_of(seal_invitation(paper, builders.signer(1)))
    loaded = loading(env={"ICN_FEDERATION_INVITATION": line, "ICN_NETWORK_P2P_ENABLED": "false"})
    assert any("federation.invitation" in warning and "has no effect" in warning for warning in loaded.warnings)
    assert not any(line in warning for warning in loaded.warnings)
