"""A node behind a proxy that has TLS, with a certificate that no system knows: the CLI trusts whom it is told to."""

from pathlib import Path

import pytest
from node_process import NodeProcess

from support.postgres_certificates import authority, certificate_for, self_signed
from support.processes import CLI, Nodes, Ran, run
from support.tls import server_side, tls_before

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def node(module_nodes: Nodes) -> NodeProcess:
    return module_nodes.start("node", "--no-p2p")


def test_who_is_trusted_and_with_which_token(node: NodeProcess, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_bytes(authority("another").certificate_pem)
    with tls_before(node.http, server_side(tmp_path, *self_signed("127.0.0.1"))) as address:

        def cli(*words: str, **environment: str) -> Ran:
            known = {"ICN_NODE_URL": f"https://{address}", "ICN_AUTH_TOKEN": node.api_key} | environment
            return run(CLI, *words, cwd=tmp_path, env=known)

        untold = cli("info")
        assert (untold.code, untold.out) == (3, "")
        assert untold.err.endswith("--cacert FILE, or the variable ICN_CACERT.\n")
        assert node.did in cli("info", "--cacert", "server.pem").out
        by_variable = cli("dag", "root", ICN_CACERT=str(tmp_path / "server.pem"))
        assert (by_variable.code, by_variable.err) == (0, "")
        other = cli("info", "--cacert", "other.pem")
        assert (other.code, other.out) == (3, "")
        assert "certificate is not trusted" in other.err

        (tmp_path / "token").write_text("a-token-that-opens-nothing\n")
        wrong = cli("info", "--cacert", "server.pem", "--token-file", "token")
        assert (wrong.code, wrong.out) == (4, ""), wrong.err
        (tmp_path / "token").write_text(node.api_key + "\n")
        told = cli("events", "--tail", "1", "--cacert", "server.pem", "--token-file", "token", ICN_API_KEY="wrong")
        assert (told.code, told.err) == (0, "")


def test_an_authority_of_the_cooperative_s_own_is_trusted(node: NodeProcess, tmp_path: Path) -> None:
    signer = authority("a cooperative")
    (tmp_path / "ca.pem").write_bytes(signer.certificate_pem)
    with tls_before(node.http, server_side(tmp_path, *certificate_for(signer, "127.0.0.1"))) as address:
        told = run(
            *(CLI, "info", "--node", f"https://{address}", "--cacert", "ca.pem"),
            cwd=tmp_path,
            env={"ICN_API_KEY": node.api_key},
        )
    assert (told.code, told.err) == (0, "")
    assert node.did in told.out
