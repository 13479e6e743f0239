"""`--cacert`: whom a connection over TLS trusts, what else is refused, and that each request goes by it."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from icn.cli.endings import Exit
from icn.cli.trust import CACERT_BYTES_MAX
from support.cli_server import CommandLine, NodeDouble, answer, problem, serving, stream
from support.postgres_certificates import authority, certificate_for, self_signed
from support.tls import server_side

SUPPLY = answer({"minted": 1, "balanced": True})
HINT = "--cacert FILE, or the variable ICN_CACERT."


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `server.pem`, which signed itself, and `other.pem`, of an authority that signed nothing here."""
    folder = tmp_path_factory.mktemp("own")
    server_side(folder, *self_signed("127.0.0.1"))
    (folder / "other.pem").write_bytes(authority("another").certificate_pem)
    return folder


def side(folder: Path) -> ssl.SSLContext:
    return server_side(folder, (folder / "server.pem").read_bytes(), (folder / "server.key").read_bytes())


@pytest.fixture
def tls_node(own: Path) -> Iterator[NodeDouble]:
    with serving(side(own)) as double:
        double.on("GET", "/mana/supply", SUPPLY)
        yield double


@pytest.fixture
def tls_cli(tls_node: NodeDouble) -> CommandLine:
    return CommandLine(tls_node.url)


def test_an_untrusted_certificate_is_refused_and_the_option_named(tls_node, tls_cli):
    ran = tls_cli("mana", "supply", "--api-key", "s3cret")
    assert (ran.status, ran.pauses, tls_node.asked) == (Exit.UNREACHABLE, [], [])
    told = ran.err.splitlines()[-1]
    assert "its certificate is not trusted: self-signed certificate (cli.untrusted)" in told
    assert told.endswith(HINT)


def test_the_file_of_the_option_is_trusted_and_else_that_of_the_variable(tls_cli, own):
    assert tls_cli("mana", "supply", "--cacert", own / "server.pem").status is Exit.DONE
    tls_cli.environ["ICN_CACERT"] = str(own / "server.pem")
    assert tls_cli("mana", "supply").status is Exit.DONE
    tls_cli.environ["ICN_CACERT"] = "/nonexistent"
    assert tls_cli("mana", "supply", "--cacert", own / "server.pem").status is Exit.DONE
    tls_cli.environ["ICN_CACERT"] = ""
    assert HINT in tls_cli("mana", "supply").err, "an empty variable is one that is not set"


def test_another_authority_s_file_does_not_do_and_the_next_step_is_another(tls_node, tls_cli, own):
    ran = tls_cli("mana", "supply", "--cacert", own / "other.pem")
    assert (ran.status, tls_node.asked) == (Exit.UNREACHABLE, [])
    assert "certificate is not trusted" in ran.err
    assert "is it the right file, and the right address?" in ran.err


def test_one_of_several_in_a_file_with_remarks_is_enough(tls_cli, own, tmp_path):
    both = [(own / name).read_bytes() for name in ("other.pem", "server.pem")]
    (tmp_path / "all.pem").write_bytes("# Größe\n".encode() + both[0] + "# Zweite: \x00é\n".encode() + both[1])
    assert tls_cli("mana", "supply", "--cacert", tmp_path / "all.pem").status is Exit.DONE


def test_who_signed_it_is_trusted_and_a_certificate_that_another_signed_for_itself_alone(tmp_path):
    signer = authority("a cooperative")
    (tmp_path / "ca.pem").write_bytes(signer.certificate_pem)
    with serving(server_side(tmp_path, *certificate_for(signer, "127.0.0.1"))) as node:
        node.on("GET", "/mana/supply", SUPPLY)
        cli = CommandLine(node.url)
        assert cli("mana", "supply", "--cacert", tmp_path / "ca.pem").status is Exit.DONE
        assert cli("mana", "supply", "--cacert", tmp_path / "server.pem").status is Exit.DONE


def test_the_name_is_checked_whoever_is_trusted(tmp_path):
    with serving(server_side(tmp_path, *self_signed("127.0.0.2"))) as node:
        ran = CommandLine(node.url)("mana", "supply", "--cacert", tmp_path / "server.pem")
        assert (ran.status, node.asked) == (Exit.UNREACHABLE, [])
        assert "IP address mismatch" in ran.err
        assert "a name or address that the certificate has" in ran.err


@pytest.mark.parametrize("text", [b"", b"nonsense", b"\x30\x82\x01\x0a", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
@pytest.mark.parametrize("by_variable", [False, True])
def test_a_file_without_a_certificate_is_refused_before_anything_is_sent(
    tls_node, tls_cli, tmp_path, text, by_variable
):
    file = tmp_path / "wrong.pem"
    file.write_bytes(text)
    tls_cli.environ |= {"ICN_CACERT": str(file)} if by_variable else {}
    ran = tls_cli("mana", "supply", *([] if by_variable else ["--cacert", file]))
    assert (ran.status, tls_node.asked) == (Exit.CONFIGURATION, [])
    place = "environment ICN_CACERT" if by_variable else "--cacert"
    assert f"icn-cli: {place}, file {file}: holds no certificate that can be read" in ran.err
    assert ran.err.count("\n") == 1


def test_a_key_alone_is_no_certificate_and_not_shown(tls_cli, own):
    ran = tls_cli("mana", "supply", "--cacert", own / "server.key")
    assert ran.status is Exit.CONFIGURATION
    assert "holds no certificate" in ran.err
    assert "PRIVATE" not in ran.err


def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tls_cli, tmp_path):
    for path, reason in ((tmp_path / "absent", "No such file"), (tmp_path, "Is a directory"), ("a\0b", "not a path")):
        ran = tls_cli("mana", "supply", "--cacert", path)
        assert ran.status is Exit.CONFIGURATION
        assert f"cannot be read: {reason}" in ran.err
    with (tmp_path / "endless").open("wb") as file:
        file.truncate(CACERT_BYTES_MAX + 1)
    assert f"longer than {CACERT_BYTES_MAX} bytes" in tls_cli("mana", "supply", "--cacert", tmp_path / "endless").err


def test_without_tls_the_option_is_refused_and_the_variable_warned_of_once(node, cli, own):
    node.on("GET", "/mana/supply", SUPPLY)
    ran = cli("mana", "supply", "--cacert", own / "server.pem")
    assert (ran.status, node.asked) == (Exit.USAGE, [])
    assert "nothing would be checked" in ran.err
    cli.environ["ICN_CACERT"] = str(own / "server.pem")
    ran = cli("mana", "supply")
    assert ran.status is Exit.DONE
    assert ran.err == f"icn-cli: warning: ICN_CACERT is not looked at: {node.url} is not https://\n"


def test_followed_events_go_by_it_from_the_first_to_every_later_connection(tls_node, tls_cli, own):
    follow = ["events", "--follow", "--output", "json"]
    assert HINT in tls_cli(*follow).err
    tls_node.on("GET", "/events", stream(": here\n\n"), problem(403, "auth.revoked", "the key was revoked"))
    ran = tls_cli(*follow, "--cacert", own / "server.pem")
    assert ran.status is Exit.NOT_AUTHORISED
    assert len(tls_node.asked) == 2


def test_content_that_is_sent_and_received_goes_by_it_too(tls_cli, tmp_path):
    (tmp_path / "pears").write_text("pears")
    for line in (["dag", "put", tmp_path / "pears"], ["dag", "import", tmp_path / "pears"], ["dag", "export"]):
        assert HINT in tls_cli(*line).err, line


@pytest.mark.parametrize("named", [False, True])
def test_whom_nobody_trusts_is_not_replaced_by_the_store(tls_node, tls_cli, tmp_path, named):
    store = ["--storage-backend", "sqlite", "--storage-path", tmp_path / "dag.sqlite"]
    ran = tls_cli("dag", "verify", *store, *(["--node", tls_node.url] if named else []))
    assert (ran.status, HINT in ran.err) == (Exit.UNREACHABLE, True), ran.err
    assert not list(tmp_path.iterdir())


def test_a_store_itself_is_worked_on_beside_the_variables_of_this_program(alone, tmp_path):
    alone.environ |= {"ICN_AUTH_TOKEN": "a", "ICN_AUTH_TOKEN_FILE": "/nonexistent", "ICN_CACERT": "/nonexistent"}
    ran = alone("dag", "verify", "--offline", "--storage-backend", "sqlite", "--storage-path", tmp_path / "absent")
    assert "there is no store" in ran.err, ran.err
