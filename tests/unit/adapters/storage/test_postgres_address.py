"""Connection strings: what is taken, what is shown, and that no message repeats a password."""

import pytest

from icn.adapters.storage.postgres_address import parse
from icn.kernel.errors import ConfigError

SECRET = "geheim"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_both_spellings_of_the_scheme_are_the_same(scheme):
    address = parse(f"{scheme}://u:{SECRET}@db.internal:5433/icn", connection_timeout_ms=10_000)
    assert address.shown == "postgresql://u@db.internal:5433/icn"
    assert "host=db.internal" in address.conninfo
    assert f"password={SECRET}" in address.conninfo


def test_a_password_is_in_no_form_of_an_address_that_is_shown():
    address = parse(f"postgresql://u:{SECRET}@h/d?sslpassword={SECRET}", connection_timeout_ms=10_000)
    assert SECRET not in address.shown + repr(address) + str(address)


def test_several_servers_and_unix_sockets_are_places_too():
    several = parse("postgresql://u@a:1,b:2/d?target_session_attrs=read-write", connection_timeout_ms=1)
    assert several.shown == "postgresql://u@a:1,b:2/d"
    assert parse("postgresql:///d?host=/run/x&port=5", connection_timeout_ms=1).shown == "postgresql:///run/x:5/d"
    assert parse("postgresql://[::1]:5/d", connection_timeout_ms=1).shown == "postgresql://::1:5/d"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:p@{SECRET}@h/d",
        f"postgresql://u:p/{SECRET}@h/d",
        f"postgresql://u:{SECRET}%@h/d",
        f"postgresql://u:p@h:{SECRET}/d",
        f"mysql://u:{SECRET}@h/d",
        f"host=h password={SECRET}",
        f"postgresql://u:p@h/d?pass word={SECRET}",
        f"postgresql://u:p@h/d?password={SECRET}%",
        "",
    ],
)
def test_what_cannot_be_read_is_refused_without_repeating_it(url):
    with pytest.raises(ConfigError) as refused:
        parse(url, connection_timeout_ms=10_000)
    assert SECRET not in str(refused.value)
    assert "postgresql://USER:PASSWORD@HOST:PORT/DATABASE" in str(refused.value)
    assert refused.value.__cause__ is None


def test_an_unknown_option_is_named():
    with pytest.raises(ConfigError, match="unknown option 'sslmod'"):
        parse("postgresql://h/d?sslmod=require", connection_timeout_ms=10_000)


def test_what_the_url_says_goes_before_our_defaults():
    given = parse("postgresql://h/d?connect_timeout=7&application_name=mine", connection_timeout_ms=2500)
    assert "connect_timeout=7" in given.conninfo
    assert "application_name=mine" in given.conninfo
    left_open = parse("postgresql://h/d", connection_timeout_ms=2500)
    assert "connect_timeout=3" in left_open.conninfo, "whole seconds, rounded up"
    assert "tcp_user_timeout=10000" in left_open.conninfo
