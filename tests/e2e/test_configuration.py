"""The configuration through the real program: what stops a start, what is shown, and which source wins."""

from pathlib import Path

import pytest
from node_process import NodeError

from support.processes import ExactNode, Nodes, node_program

pytestmark = pytest.mark.slow

SECRET = "correct-horse-battery"


def test_an_unknown_key_stops_the_start_with_file_line_and_suggestion(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('[network]\nhttp_listen_addr = "127.0.0.1:0"\nmax_pears = 5\n')
    ended = node_program("--config", "node.toml", cwd=tmp_path)
    assert ended.code == 78
    assert "node.toml:3" in ended.err
    assert "max_pears" in ended.err
    assert "did you mean network.max_peers?" in ended.err
    assert not (tmp_path / "icn_data").exists(), "nothing was begun"


def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('[network]\nmax_pears = 5\n[mesh]\njob_retry_count = "many"\n')
    wrong = {"ICN_LOG_LEVLE": "info"}
    ended = node_program("--config", "node.toml", "--storage-backend", "sqlit", cwd=tmp_path, env=wrong)
    assert ended.code == 78
    for part in ("node.toml:2", "node.toml:4", "ICN_LOG_LEVLE", "did you mean ICN_LOG_LEVEL?", "sqlite"):
        assert part in ended.err
    assert "Traceback" not in ended.err


def test_an_unknown_flag_is_a_usage_error(tmp_path: Path) -> None:
    ended = node_program("--htp-listen-addr=127.0.0.1:0", cwd=tmp_path)
    assert ended.code == 2
    assert "--htp-listen-addr" in ended.err


@pytest.mark.parametrize("more", [(), ("--environment", "development"), ("--test-mode",)])
def test_a_public_address_without_authentication_is_refused(tmp_path: Path, more: tuple[str, ...]) -> None:
    ended = node_program("--http-listen-addr", "0.0.0.0:0", "--no-p2p", "--no-metrics", *more, cwd=tmp_path)
    assert ended.code == 78
    assert "can be reached from other machines" in ended.err


def test_contradictions_about_the_storage_are_refused_with_what_to_do_and_no_password(tmp_path: Path) -> None:
    url = f"postgres://icn:{SECRET}@localhost/icn"
    for flags, remedy in [
        (("--storage-backend", "postgresql"), "--db-url postgresql://"),
        (("--storage-backend", "sqlite", "--db-url", url), "set storage.backend = postgresql"),
        (("--storage-backend", "Postgres", "--db-url", url, "--storage-path", url + "2"), "set differently"),
    ]:
        ended = node_program(*flags, cwd=tmp_path)
        assert ended.code == 78
        assert remedy in ended.err
        assert SECRET not in ended.out + ended.err


def test_the_password_of_a_database_is_never_shown(tmp_path: Path) -> None:
    url = f"postgres://icn:{SECRET}@localhost/icn"
    given = ("--storage-backend", "postgres", "--storage-path", url)
    shown = node_program("config", "show", "--effective", "--origin", *given, cwd=tmp_path)
    assert 'connection_string = "postgresql://icn:********@localhost/icn"  # flag --storage-path' in shown.out
    assert "standby = true  # default with postgresql" in shown.out
    assert SECRET not in shown.out + shown.err


def test_check_says_whether_a_node_would_start(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text('[runtime]\nenvironment = "development"\n')
    good = node_program("config", "check", "--config", "good.toml", cwd=tmp_path)
    assert good.code == 0
    assert "valid" in good.out
    (tmp_path / "bad.toml").write_text("[runtime]\nenvironment = 5\n")
    bad = node_program("config", "check", "--config", "bad.toml", cwd=tmp_path)
    assert bad.code == 78
    assert "bad.toml:2" in bad.err
    assert not (tmp_path / "icn_data").exists(), "checking makes nothing"


def test_show_tells_every_value_and_its_origin_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(f'[security]\napi_key = "{SECRET}"\n[mesh]\njob_retry_count = 7\n')
    given = {"ICN_KEY_PASSPHRASE": SECRET + "-too", "ICN_NETWORK_MAX_PEERS": "12"}
    shown = node_program(
        *("config", "show", "--effective", "--origin", "--config", "node.toml", "--log-level", "debug"),
        cwd=tmp_path,
        env=given,
    )
    assert shown.code == 0, shown.err
    assert SECRET not in shown.out + shown.err
    lines = {line.partition(" = ")[0]: line for line in shown.out.splitlines() if " = " in line}
    assert "node.toml:4" in lines["job_retry_count"]
    assert "ICN_NETWORK_MAX_PEERS" in lines["max_peers"]
    assert "--log-level" in lines["log_level"]
    assert "default" in lines["mana_cap"]
    assert "node.toml:2" in lines["api_key"]


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text("[network]\nmax_peers = 11\n")
    argv = ("config", "show", "--config", "node.toml")
    assert "max_peers = 11" in node_program(*argv, cwd=tmp_path).out
    given = {"ICN_NETWORK_MAX_PEERS": "12"}
    assert "max_peers = 12" in node_program(*argv, cwd=tmp_path, env=given).out
    flag = ("--set", "network.max_peers=13")
    assert "max_peers = 13" in node_program(*argv, *flag, cwd=tmp_path, env=given).out


def test_the_sources_reach_the_running_node(nodes: Nodes, tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(
        '[runtime]\nenvironment = "development"\n'
        '[network]\nhttp_listen_addr = "127.0.0.1:1"\np2p_enabled = false\n'
        "[monitoring]\nmetrics_enabled = false\n"
        '[federation]\nname = "from-file"\ninitial_grant = 1\nmana_cap = 1\n'
    )
    given = {"ICN_FEDERATION_INITIAL_GRANT": "222", "ICN_FEDERATION_MANA_CAP": "222", "ICN_API_KEY": SECRET}
    flags = ("--config", "node.toml", "--http-listen-addr", "127.0.0.1:0", "--set", "federation.mana_cap=333")
    node = nodes.adopt(ExactNode(tmp_path, *flags, api_key=SECRET, env=given))
    node.start()
    federation = node.ask("GET", "/federation/status")
    assert federation["name"] == "from-file"
    assert federation["policy"]["initial_grant"] == 222
    assert federation["policy"]["mana_cap"] == 333


def test_a_wrong_key_passphrase_or_a_missing_key_stops_the_start(nodes: Nodes, tmp_path: Path) -> None:
    flags = ("--no-p2p", "--no-metrics", "--http-listen-addr", "127.0.0.1:0")
    missing = node_program(*flags, "--set", "identity.generate_new_key=false", cwd=tmp_path)
    assert missing.code == 78
    assert "there is no key at" in missing.err
    node = nodes.adopt(ExactNode(tmp_path, *flags, "--api-key", SECRET, env={"ICN_KEY_PASSPHRASE": SECRET}))
    node.start()
    node.stop()
    wrong = node_program(*flags, cwd=tmp_path, env={"ICN_KEY_PASSPHRASE": "wrong"})
    assert wrong.code == 78
    assert "passphrase" in wrong.err
    with pytest.raises(NodeError, match="node_did"):
        nodes.adopt(
            ExactNode(
                tmp_path,
                *flags,
                "--node-did",
                "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
                env={"ICN_KEY_PASSPHRASE": SECRET},
            )
        ).start()
