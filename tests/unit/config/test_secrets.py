import pytest

from icn.config import explain
from icn.config.flags import FlagValue

KEY = "correct-horse-battery-staple"


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "api_key.txt"
    path.write_text(KEY + "\n")
    return path


def everywhere(loaded) -> str:
    return "\n".join([
        repr(loaded), str(loaded.settings), repr(loaded.settings), repr(loaded.settings.security),
        explain.show(loaded, effective=True, origin=True), explain.report(loaded),
    ])  # fmt: skip


def ways(path):
    return {
        "plain in the file": (f'[security]\napi_key = "{KEY}"', {}, {}),
        "file named in the file": (f'[security]\napi_key_file = "{path}"', {}, {}),
        "file named in the other section": (f'[api]\napi_key_file = "{path}"', {}, {}),
        "variable named in the file": ('[api]\napi_key_env = "MY_KEY"', {"MY_KEY": KEY}, {}),
        "named variable's file": ('[api]\napi_key_env = "MY_KEY"', {"MY_KEY_FILE": str(path)}, {}),
        "named variable of ours": ('[api]\napi_key_env = "ICN_OURS"', {"ICN_OURS": KEY}, {}),
        "expansion": ('[security]\napi_key = "${MY_KEY}"', {"MY_KEY": KEY}, {}),
        "expansion of a file": ('[security]\napi_key = "${MY_KEY}"', {"MY_KEY_FILE": str(path)}, {}),
        "expansion in part": (
            '[security]\napi_key = "correct-${MY_KEY}"',
            {"MY_KEY": KEY.removeprefix("correct-")},
            {},
        ),
        "short variable": (None, {"ICN_API_KEY": KEY}, {}),
        "short variable's file": (None, {"ICN_API_KEY_FILE": str(path)}, {}),
        "long variable": (None, {"ICN_SECURITY_API_KEY": KEY}, {}),
        "long variable's file": (None, {"ICN_SECURITY_API_KEY_FILE": str(path)}, {}),
        "expansion in a variable": (None, {"ICN_API_KEY": "${MY_KEY}", "MY_KEY": KEY}, {}),
        "variable named by a variable": (None, {"ICN_API_KEY_ENV": "MY_KEY", "MY_KEY": KEY}, {}),
        "flag": (None, {}, {"security.api_key": KEY}),
        "file named by a flag": (None, {}, {"security.api_key_file": str(path)}),
    }


@pytest.mark.parametrize("way", ways("x"))
def test_every_way_to_give_a_secret_gives_it_and_shows_only_stars(loading, secret_file, way):
    text, env, flags = ways(secret_file)[way]
    if "ICN_API_KEY_ENV" in env:
        env = {
            "ICN_SECURITY_API_KEY_ENV": env["ICN_API_KEY_ENV"],
            **{k: v for k, v in env.items() if k != "ICN_API_KEY_ENV"},
        }
    loaded = loading(text, env, flags)
    assert loaded.settings.security.api_key is not None
    assert loaded.settings.security.api_key.reveal() == KEY
    assert KEY not in everywhere(loaded)
    assert KEY.removeprefix("correct-") not in everywhere(loaded)
    assert 'api_key = "********"' in explain.show(loaded, effective=False, origin=False)


def test_the_origin_of_a_secret_is_the_whole_chain(loading, secret_file):
    loaded = loading('[security]\napi_key = "${MY_KEY}"', {"MY_KEY_FILE": str(secret_file)})
    assert str(loaded.origins["security.api_key"]) == (
        f"{loading.path}:2, from ${{MY_KEY}}, from environment MY_KEY_FILE, from file {secret_file}"
    )
    loaded = loading('[api]\n\napi_key_env = "MY_KEY"', {"MY_KEY": KEY})
    assert str(loaded.origins["security.api_key"]) == f"{loading.path}:3, from environment MY_KEY"


def test_a_secret_on_the_command_line_works_and_warns(loading):
    loaded = loading(flags={"security.api_key": KEY})
    assert len(loaded.warnings) == 1
    assert "ICN_API_KEY_FILE" in loaded.warnings[0]
    assert KEY not in loaded.warnings[0]
    assert not loading(env={"ICN_API_KEY": KEY}).warnings
    assert KEY not in repr(FlagValue(KEY, "--api-key"))


def test_the_environment_outranks_a_variable_that_the_file_names(loading):
    loaded = loading('[api]\napi_key_env = "MY_KEY"', {"MY_KEY": "other", "ICN_API_KEY": KEY})
    assert loaded.settings.security.api_key.reveal() == KEY


def test_a_secret_file_that_cannot_be_read_is_refused_with_the_chain(loading, tmp_path):
    missing = tmp_path / "none"
    message = loading.refused('[security]\napi_key = "${MY_KEY}"', {"MY_KEY_FILE": str(missing)})
    assert message.splitlines() == [
        "node.toml:2: security.api_key cannot be read: No such file or directory",
        "    from ${MY_KEY}",
        "    from environment MY_KEY_FILE",
        "    from file none",
    ]
    assert "No such file" in loading.refused(env={"ICN_API_KEY_FILE": str(missing)})
    assert "Is a directory" in loading.refused(env={"ICN_API_KEY_FILE": str(tmp_path)})
    assert "cannot be read" in loading.refused(env={"ICN_API_KEY_FILE": ""})
    assert "No such file" in loading.refused('[api]\napi_key_env = "K"', {"K_FILE": str(missing)})


@pytest.mark.parametrize(
    ("content", "why"), [(b"", "is empty"), (b"\n", "is empty"), (b"\xffkey", "not UTF-8"), (b"x" * 70_000, "longer")]
)
def test_a_secret_file_without_a_usable_secret_is_refused(loading, secret_file, content, why):
    secret_file.write_bytes(content)
    assert why in loading.refused(env={"ICN_API_KEY_FILE": str(secret_file)})


def test_only_the_newline_at_the_end_of_a_secret_file_is_removed(loading, secret_file):
    secret_file.write_bytes(b" two words \r\n")
    assert loading(env={"ICN_API_KEY_FILE": str(secret_file)}).settings.security.api_key.reveal() == " two words "


def test_an_undefined_reference_is_refused_by_name(loading):
    message = loading.refused('[storage]\npath = "/x/${NOWHERE}/db"')
    assert message.startswith(
        "node.toml:2: storage.path ${NOWHERE} is undefined: neither NOWHERE nor NOWHERE_FILE is set"
    )


@pytest.mark.parametrize("text", ["pass${wörd}tail", "pass${", "pass${a:-b}tail"])
def test_a_malformed_reference_is_refused_without_showing_the_secret(loading, text):
    message = loading.refused(env={"ICN_API_KEY": text})
    assert "does not begin a reference" in message
    assert "pass" not in message.replace("ICN_KEY_PASS", "")
    assert "tail" not in message


def test_a_doubled_dollar_is_a_literal_one_and_inserted_text_is_not_expanded_again(loading):
    loaded = loading('[security]\napi_key = "a$${b}$c"\n[identity]\nkey_passphrase = "${PW}"', {"PW": "x${y}"})
    assert loaded.settings.security.api_key.reveal() == "a${b}$c"
    assert loaded.settings.identity.key_passphrase.reveal() == "x${y}"


def test_references_work_in_every_kind_of_setting_and_numbers_are_read_from_them(loading):
    loaded = loading(
        '[network]\nmax_peers = "${N}"\nhttp_listen_addr = "127.0.0.1:${PORT}"', {"N": "12", "PORT": "8000"}
    )
    assert loaded.settings.network.max_peers == 12
    assert loaded.settings.network.http_listen_addr.port == 8000


def test_what_a_reference_brought_in_is_not_shown(loading):
    loaded = loading('[storage]\npath = "/x/${DIR}"', {"DIR": KEY})
    assert str(loaded.settings.storage.path) == f"/x/{KEY}"
    shown = explain.show(loaded, effective=True, origin=True)
    assert 'path = "/x/${DIR}"' in shown
    assert KEY not in shown
    for text in (
        '[network]\nhttp_listen_addr = "127.0.0.1:${P}"',
        '[federation]\nfounders = ["did:${P}"]',
        '[network]\nmax_peers = "${P}"',
    ):
        assert KEY not in loading.refused(text, {"P": KEY})


def test_a_password_in_a_database_url_may_hold_any_character(loading, secret_file):
    secret_file.write_text("p@ss/w?rd#:%40 ü\n")
    guide = (
        '[storage]\nbackend = "postgresql"\n'
        'connection_string = "postgresql://icn_prod_user:${DB_PASSWORD}@postgres.internal:5432/icn_production"'
    )
    for text, env in [(guide, {}), (guide.replace("connection_string", "path"), {})]:
        loaded = loading(text, {"DB_PASSWORD_FILE": str(secret_file), **env})
        assert loaded.settings.storage.connection_string.reveal() == (
            "postgresql://icn_prod_user:p%40ss%2Fw%3Frd%23%3A%2540%20%C3%BC@postgres.internal:5432/icn_production"
        )
        assert "p%40ss" not in everywhere(loaded)
        masked = 'connection_string = "postgresql://icn_prod_user:********@postgres.internal:5432/icn_production"'
        assert masked in explain.show(loaded, effective=True, origin=False)
        assert "from ${DB_PASSWORD}, from environment DB_PASSWORD_FILE" in str(
            loaded.origins["storage.connection_string"]
        )


def test_what_is_put_in_behind_the_credentials_of_a_url_stays_as_it_is(loading):
    text = '[storage]\nbackend = "postgresql"\nconnection_string = "postgres://icn@${HOST}/${NAME}"'
    loaded = loading(text, {"HOST": "db:5433", "NAME": "icn?sslmode=require"})
    assert loaded.settings.storage.connection_string.reveal() == "postgresql://icn@db:5433/icn?sslmode=require"
    whole = '[storage]\nbackend = "postgresql"\nconnection_string = "${DATABASE_URL}"'
    loaded = loading(whole, {"DATABASE_URL": "postgres://u:p%40@h/d"})
    assert loaded.settings.storage.connection_string.reveal() == "postgresql://u:p%40@h/d"


@pytest.mark.parametrize("key", ["storage.path", "storage.connection_string"])
def test_a_database_url_on_the_command_line_warns_if_there_is_a_password_in_it(loading, key):
    loaded = loading(flags={"storage.backend": "postgres", key: "postgres://u:SECRETTEXT@h/d"})
    assert len(loaded.warnings) == 1
    assert "ICN_STORAGE_CONNECTION_STRING_FILE" in loaded.warnings[0]
    assert "SECRETTEXT" not in loaded.warnings[0] + everywhere(loaded)
    assert not loading(flags={"storage.backend": "postgres", key: "postgres://u@h/d"}).warnings


@pytest.mark.parametrize(
    ("text", "env", "flags"),
    [
        ('[security]\napi_key = ["SECRETTEXT"]', {}, {}),
        ('[security]\napi_kye = "SECRETTEXT"', {}, {}),
        ('[securty]\napi_key = "SECRETTEXT"', {}, {}),
        ('[security]\napi_key = "SECRETTEXT"\n[api]\napi_key = "other"', {}, {}),
        ('[storage]\npath = "postgres://user:SECRETTEXT@localhost/icn"', {}, {}),
        ('[storage]\npath = "postgres://user:SECRET/TEXT@SECRETTEXT@localhost/icn"', {}, {}),
        ('[storage]\nbackend="postgres"\nconnection_string = "postgres://u:SECRET/TEXT@SECRETTEXT@h/icn"', {}, {}),
        ('[storage]\nbackend="postgres"\nconnection_string = "postgres://u:SECRETTEXT"', {}, {}),
        ('[storage]\nbackend="postgres"\nconnection_string = "SECRETTEXT"', {}, {}),
        ('[storage]\nbackend="postgres"\npath = "mysql://u:SECRETTEXT@h"', {}, {}),
        (None, {"ICN_APIKEY": "SECRETTEXT"}, {}),
        (None, {"ICN_API_KEY": "SECRETTEXT", "ICN_API_API_KEY": "other"}, {}),
        (None, {}, {"security.apikey": "SECRETTEXT"}),
        (None, {}, {"storage.path": "postgres://user:SECRETTEXT@localhost/icn"}),
    ],
)
def test_a_refusal_never_holds_a_secret(loading, text, env, flags):
    assert "SECRETTEXT" not in loading.refused(text, env, flags)


def test_an_api_key_whose_variable_is_named_and_missing_is_refused(loading):
    message = loading.refused('[api]\napi_key_env = "MY_KEY"')
    assert message == "node.toml:2: security.api_key_env names MY_KEY, but neither MY_KEY nor MY_KEY_FILE is set"
    assert loading('[api]\napi_key_env = "MY_KEY"', flags={"security.api_key_file": str(loading.path)})
    overridden = loading('[api]\napi_key_env = "MY_KEY"', {"ICN_SECURITY_API_KEY_ENV": "B", "B": KEY})
    assert overridden.settings.security.api_key.reveal() == KEY


def test_a_passphrase_whose_variable_is_named_and_missing_gives_a_warning(loading):
    loaded = loading('[identity]\nkey_passphrase_env = "ICN_KEY_PASSPHRASE"')
    assert loaded.settings.identity.key_passphrase is None
    assert any("ICN_KEY_PASSPHRASE" in warning for warning in loaded.warnings)
    assert not loading().warnings


def test_the_passphrase_comes_from_its_variable_or_its_file(loading, secret_file):
    for env in ({"ICN_KEY_PASSPHRASE": KEY}, {"ICN_KEY_PASSPHRASE_FILE": str(secret_file)}):
        assert loading(env=env).settings.identity.key_passphrase.reveal() == KEY


def test_a_variable_and_its_file_may_not_differ(loading, secret_file):
    assert loading(env={"ICN_API_KEY": KEY, "ICN_API_KEY_FILE": str(secret_file)}).settings.security.api_key
    assert "set differently" in loading.refused(env={"ICN_API_KEY": "x", "ICN_API_KEY_FILE": str(secret_file)})
    assert "both set and differ" in loading.refused('[storage]\npath = "${D}"', {"D": "x", "D_FILE": str(secret_file)})


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_secret_is_refused(loading, value):
    assert "environment ICN_API_KEY: api_key is empty" in loading.refused(env={"ICN_API_KEY": value})
