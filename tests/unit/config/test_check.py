import pytest

from icn.config.check import BACKENDS_HERE

KEY = {"ICN_API_KEY": "k" * 32}
OPEN = {"ICN_HTTP_LISTEN_ADDR": "0.0.0.0:7845"}
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


def test_test_mode_with_a_key_requires_it(loading):
    assert loading(env=KEY | {"ICN_TEST_MODE": "1"}).settings.security.require_auth
    without = loading(env={"ICN_TEST_MODE": "1"})
    assert not without.settings.security.require_auth
    assert str(without.origins["security.require_auth"]) == "test mode without an API key"


def test_test_mode_in_production_is_refused_when_production_was_asked_for(loading):
    message = loading.refused('[runtime]\ntest_mode = true\nenvironment = "production"')
    assert message.startswith("node.toml:3: runtime.environment is production and runtime.test_mode is on")


@pytest.mark.parametrize("backend", ["sled", "rocksdb", "postgresql", "postgres", "PostgreSQL"])
def test_a_backend_this_build_lacks_is_refused_by_name(loading, backend):
    message = loading.refused(flags={"storage.backend": backend})
    assert f"this build does not have {backend.lower()} yet; it has sqlite and memory" in message


def test_the_backends_of_this_build_load(loading):
    for backend in BACKENDS_HERE:
        assert loading(env={"ICN_STORAGE_BACKEND": backend}).settings.storage.backend == backend


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
        (NO_AUTH, "require_auth is false"),
        ({"ICN_MONITORING_METRICS_BIND_ADDR": "0.0.0.0:9090"}, "metrics on 0.0.0.0:9090 can be read"),
    ],
)
def test_what_is_perhaps_not_meant_gives_a_warning(loading, env, warning):
    warnings = loading(env=env).warnings
    assert len(warnings) == 1
    assert warning in warnings[0]
