# ruff: noqa: E501 - one mistake and its message per line read best side by side
import pytest

from icn.config import absent
from icn.config.catalog import catalog
from icn.kernel.ids import PeerId


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[netwrok]\nmax_peers = 1", "node.toml:1: [netwrok]: unknown section; did you mean [network]?"),
        ("\n[network]\nmax_pers = 1", "node.toml:3: network.max_pers: unknown key; did you mean network.max_peers?"),
        ("[network]\nmetrics_enabled = true", "node.toml:2: network.metrics_enabled: unknown key; did you mean monitoring.metrics_enabled?"),
        ("max_peers = 1", "node.toml:1: max_peers: unknown key; did you mean network.max_peers?"),
        ("network = 1", "node.toml:1: network: is a section; write [network] and its keys below"),
        ("[[network]]\nmax_peers = 1", "node.toml:1: network: is a section; write [network] and its keys below"),
        ("[network.max_peers]\nx = 1", "node.toml:1: network.max_peers = {'x': 1}: should be a whole number, without quotes"),
        ('[runtime]\nenvironment = "prod"', "node.toml:2: runtime.environment = 'prod': should be one of production, development"),
        ('[storage]\nbackend = "sqlit"', "did you mean sqlite?"),
        ("[storage]\nbackend = 1", "node.toml:2: storage.backend = 1: should be one of sqlite,"),
        ('[network]\nmax_peers = "50"', "node.toml:2: network.max_peers = '50': should be a whole number, without quotes"),
        ("[network]\nmax_peers = true", "node.toml:2: network.max_peers = true: should be a whole number"),
        ("[network]\nmax_peers = 5.0", "should be a whole number"),
        ("[network]\nmax_peers = 0", "should be at least 1"),
        ("[network]\nmax_peers = 5000", "should be at most 4096"),
        ("[network]\nconnection_timeout = 0", "should be at least 1"),
        ("[network]\nconnection_timeout = 4000", "network.connection_timeout = 4000: should be at most 3600"),
        ("[network]\nconnection_timeout_ms = 4000000", "should be at most 3600000"),
        ("[network]\np2p_enabled = 1", "should be true or false, without quotes"),
        ('[network]\np2p_enabled = "true"', "should be true or false, without quotes"),
        ('[network]\nbootstrap_peers = "/ip4/1.2.3.4/tcp/1"', "should be a list"),
        ('[network]\nannounce_addrs = ["/ip4/1.2.3.4/tcp/0"]', "has port 0; the port by which others reach"),
        ('[network]\nannounce_addrs = ["/ip4/0.0.0.0/tcp/7000"]', "stands for every address of this machine"),
        ('[network]\nannounce_addrs = ["/ip6/::/tcp/7000"]', "stands for every address of this machine"),
        ("[storage]\npath = 5", "storage.path = 5: should be text in quotes"),
        ("[storage]\npath = 1979-05-27", "should be text in quotes"),
        ('[storage]\npath = "~/icn"', "write ${HOME} instead"),
        ('[storage]\npath = ""', "should be the path"),
        ('[federation]\nname = "Our Coop"', "should be at most 64 of a-z"),
        ('[federation]\nfounders = ["did:key:z6MkProdNode01"]', "node.toml:2: federation.founders = 'did:key:z6MkProdNode01'"),
        ('[security]\ncolour = "red"', "node.toml:2: security.colour: unknown key"),
        ('[security]\ntls_cert_path = "/x"', "node.toml:2: security.tls_cert_path is in the deployment guide; this build does not have it yet"),
        ("[audit]\nenabled = true", "node.toml:1: [audit] is in the deployment guide; this build does not have it yet"),
        ("[audits]\nenabled = true", "node.toml:1: [audits]: unknown section; there are runtime, network"),
        (f'[network]\np2p_listen_addr = "/ip4/1.2.3.4/tcp/1/p2p/{PeerId.from_public_key(bytes(32))}"', "follows from its key"),
        ('[network]\nbootstrap_peers = ["/ip4/1.2.3.4/tcp/1"]', "does not end in /p2p/<peer id>"),
        ('[network]\nbootstrap_peers = ["/ip4/1.2.3.4/tcp/1/p2p/12D3KooW"]', "'12D3KooW' is a placeholder or mistyped"),
        ('[network]\np2p_listen_addr = "/ip4/0.0.0.0/udp/7000"', "other transports are not spoken"),
        ('"network.max_peers" = 1', "network.max_peers: unknown key"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_names_line_key_and_remedy(loading, text, message):
    assert message in loading.refused(text)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"ICN_NETWROK_MAX_PEERS": "1"}, "environment ICN_NETWROK_MAX_PEERS: unknown variable; did you mean ICN_NETWORK_MAX_PEERS?"),
        ({"ICN_NETWORK_MAX_PERS": "1"}, "did you mean ICN_NETWORK_MAX_PEERS?"),
        ({"ICN_HTTP_PORT": "80"}, "environment ICN_HTTP_PORT: unknown variable"),
        ({"ICN_": "80"}, "environment ICN_: unknown variable"),
        ({"ICN_NETWORK_MAX_PEERS": "5x"}, "environment ICN_NETWORK_MAX_PEERS: network.max_peers = '5x': should be a whole number"),
        ({"ICN_NETWORK_MAX_PEERS": ""}, "should be a whole number"),
        ({"ICN_NETWORK_MAX_PEERS": "1_0"}, "should be a whole number"),
        ({"ICN_NETWORK_MAX_PEERS": "9" * 5000}, "should be a whole number"),
        ({"ICN_TEST_MODE": "tru"}, "should be true or false"),
        ({"ICN_AUDIT": "/x"}, "environment ICN_AUDIT: is in the deployment guide; this build does not"),
        ({"ICN_LOG_LEVEL": "warn"}, "did you mean warning?"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_environment_names_variable_key_and_remedy(loading, env, message):
    assert message in loading.refused(env=env)


@pytest.mark.parametrize(
    "env",
    [
        {"ICN_NODE_URL": "http://localhost:7845"},
        {"ICN_CACERT": "/etc/icn/ca.pem"},
        {"ICN_CLI_OUTPUT": "json"},
        {
            "ICN_NODE_SERVICE_HOST": "10.0.0.1",
            "ICN_NODE_SERVICE_PORT": "7845",
            "ICN_NODE_SERVICE_PORT_HTTP_API": "7845",
        },
        {"ICN_NODE_PORT": "tcp://10.0.0.1:7845", "ICN_NODE_PORT_7845_TCP": "tcp://10.0.0.1:7845"},
        {"ICN_NODE_PORT_7845_TCP_PROTO": "tcp", "ICN_NODE_PORT_7845_TCP_PORT": "1", "ICN_NODE_PORT_7845_TCP_ADDR": "x"},
        {"icn_network_max_pers": "1", "PATH": "/bin", "XICN_": ""},
    ],
)
def test_variables_of_others_are_left_alone(loading, env):
    assert loading(env=env).settings == loading().settings


def test_an_unknown_key_of_a_flag_is_refused_with_a_suggestion(loading):
    message = loading.refused(flags={"network.max_pers": "1"})
    assert message == "flag --network.max_pers: unknown key; did you mean network.max_peers?"


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file(loading):
    text = '[runtime]\ntest_mode = "yes"\n[netwrok]\n[network]\nmax_peers = 0\n'
    text += 'bootstrap_peers = [\n  "/ip4/1.2.3.4/tcp/1",\n  "x",\n]'
    message = loading.refused(text, {"ICN_LOG_LEVEL": "loud", "ICN_NO": ""}, {"network.p2p_enabled": "perhaps"})
    starts = [line.split(": ")[0] for line in message.splitlines()]
    assert starts == [
        "node.toml:2", "node.toml:3", "node.toml:5", "node.toml:7", "node.toml:8",
        "environment ICN_LOG_LEVEL", "flag --network.p2p_enabled", "environment ICN_NO",
    ]  # fmt: skip


def test_rules_about_several_settings_are_reported_beside_mistakes_in_others(loading):
    message = loading.refused(
        '[network]\nhttp_listen_addr = "0.0.0.0:1"\nmax_peers = 0\n[storage]\nbackend = "postgres"'
    )
    assert "should be at least 1" in message
    assert "no API key" in message
    assert "no database is given" in message


def test_a_wrong_value_does_not_cause_further_complaints(loading):
    message = loading.refused('[network]\nhttp_listen_addr = "0.0.0.0:1"\n[security]\napi_key = 5')
    assert message == "node.toml:4: security.api_key should be text in quotes"


def test_a_wrong_value_is_reported_even_where_a_higher_layer_replaces_it(loading):
    assert "max_peers = 0" in loading.refused("[network]\nmax_peers = 0", {"ICN_NETWORK_MAX_PEERS": "1"})


def test_a_file_that_cannot_be_read_is_named(loading, tmp_path):
    loading.path = tmp_path / "missing.toml"
    from icn.config.load import load
    from icn.kernel.errors import ConfigError

    with pytest.raises(ConfigError, match=r"missing.toml: cannot be read: No such file"):
        load(flags={}, config_path=loading.path, environ={})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(flags={}, config_path=tmp_path, environ={})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[network]\nmax_peers = \n", "node.toml:2: is not valid TOML: Invalid value"),
        ("[network]\nmax_peers = 1\nmax_peers = 2\n", "is not valid TOML"),
        ('[network]\n\nx = "', "node.toml:3: is not valid TOML"),
    ],
)
def test_a_file_that_is_not_toml_is_refused_with_the_line(loading, text, message):
    assert message in loading.refused(text)


def test_a_file_that_is_not_text_is_refused_with_the_line(loading):
    from icn.config.load import load
    from icn.kernel.errors import ConfigError

    loading.path.write_bytes(b"[network]\n# \xff\n")
    with pytest.raises(ConfigError, match=r"node.toml:2: is not UTF-8"):
        load(flags={}, config_path=loading.path, environ={})


def test_lines_are_counted_right_in_a_file_from_windows(loading):
    loading.path.write_bytes(b"[network]\r\n\r\nmax_pers = 1\r\n")
    assert "node.toml:3: network.max_pers" in loading.refused(loading.path.read_bytes().decode())


def test_nothing_is_both_absent_and_there():
    assert not set(absent.KEYS) & set(catalog().spellings)
    assert not set(absent.VARIABLES) & set(catalog().variables)
