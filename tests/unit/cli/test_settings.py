"""A key or a token: where it comes from, that there is one of both, and in which header it goes."""

import pytest

from icn.cli.endings import Exit
from support.cli_server import answer, problem

SUPPLY = answer({"minted": 1, "balanced": True})


@pytest.fixture
def shown(node, cli, tmp_path):
    """Runs a command and says what the node was shown: the key, and the header of authorization."""
    for name in ("key", "token"):
        (tmp_path / name).write_text(f"{name}-from-file\n")
    node.on("GET", "/mana/supply", SUPPLY)

    def run(environ: dict[str, str], *options: object) -> tuple[str | None, str | None]:
        cli.environ = {"ICN_NODE_URL": node.url, **environ}
        ran = cli(*options, "mana", "supply")
        assert ran.status is Exit.DONE, ran.err
        headers = node.asked[-1].headers
        return headers.get("x-api-key"), headers.get("authorization")

    return run


def test_a_token_comes_from_a_flag_before_the_environment(shown, tmp_path):
    file = tmp_path / "token"
    assert shown({"ICN_AUTH_TOKEN": ""}) == (None, None)
    assert shown({"ICN_AUTH_TOKEN": "from-env"}) == (None, "Bearer from-env")
    assert shown({"ICN_AUTH_TOKEN_FILE": str(file)}) == (None, "Bearer token-from-file")
    assert shown({"ICN_AUTH_TOKEN": "from-env"}, "--token-file", file) == (None, "Bearer token-from-file")
    assert shown({"ICN_AUTH_TOKEN": "from-env"}, "--token", "from-flag") == (None, "Bearer from-flag")


def test_what_the_command_line_gives_replaces_the_other_kind_in_the_environment(shown, tmp_path):
    key, token = {"ICN_API_KEY": "key"}, {"ICN_AUTH_TOKEN": "token"}
    assert shown(key, "--token", "t") == (None, "Bearer t")
    assert shown(key, "--token-file", tmp_path / "token") == (None, "Bearer token-from-file")
    assert shown(token, "--api-key", "k") == ("k", None)
    assert shown(token, "--api-key-file", tmp_path / "key") == ("key-from-file", None)
    assert shown(key | token, "--token", "t") == (None, "Bearer t"), "also where the environment has both"
    assert shown({"ICN_API_KEY_FILE": "/nonexistent"}, "--token", "t") == (None, "Bearer t")


@pytest.mark.parametrize("key", [["--api-key", "a"], ["--api-key-file", "a"]])
@pytest.mark.parametrize("token", [["--token", "a"], ["--token-file", "a"]])
def test_a_key_and_a_token_on_the_command_line_are_refused(node, cli, key, token):
    ran = cli(*key, *token, "mana", "supply")
    assert (ran.status, node.asked) == (Exit.USAGE, [])
    assert "an API key and a token are both given" in ran.err


def test_a_key_and_a_token_in_the_environment_are_a_matter_of_configuration(node, cli):
    cli.environ |= {"ICN_API_KEY": "a", "ICN_AUTH_TOKEN": "b"}
    ran = cli("mana", "supply")
    assert (ran.status, node.asked) == (Exit.CONFIGURATION, [])
    assert "ICN_API_KEY and ICN_AUTH_TOKEN" in ran.err


@pytest.mark.parametrize(
    ("options", "environ", "status", "told"),
    [
        (["--token", "a", "--token-file", "b"], {}, Exit.USAGE, "--token and --token-file are both given"),
        (["--token", "two words"], {}, Exit.USAGE, "--token: a token is made of visible ASCII"),
        (["--token", ""], {}, Exit.USAGE, "--token: a token is made of visible ASCII"),
        (["--token-file", "/nonexistent"], {}, Exit.CONFIGURATION, "token, file /nonexistent: cannot be read: No such"),
        ([], {"ICN_AUTH_TOKEN": "two words"}, Exit.CONFIGURATION, "environment ICN_AUTH_TOKEN: a token is made of"),
        ([], {"ICN_AUTH_TOKEN_FILE": "/nonexistent"}, Exit.CONFIGURATION, "ICN_AUTH_TOKEN_FILE, file /nonexistent"),
    ],
)
def test_a_token_that_cannot_be_had_or_sent_is_refused_and_not_repeated(node, cli, options, environ, status, told):
    cli.environ |= environ
    ran = cli(*options, "mana", "supply")
    assert (ran.status, node.asked) == (status, [])
    assert told in ran.err
    assert "two words" not in ran.err


def test_a_token_on_the_command_line_is_warned_of_and_shown_nowhere(node, cli):
    node.on("GET", "/mana/supply", SUPPLY, problem(401, "auth.key_needed", "this request needs a valid key"))
    ran = cli("mana", "supply", "--token", "s3cret")
    assert ran.err == (
        "icn-cli: warning: a token on the command line is seen by everybody on this machine; use --token-file\n"
    )
    refused = cli("mana", "supply", "--token", "s3cret")
    assert refused.status is Exit.NOT_AUTHORISED
    assert "--token-file" in refused.err.splitlines()[-1]
    assert "s3cret" not in ran.text + ran.err + refused.text + refused.err
