import copy
import pickle

import pytest

from icn.config.database_url import DatabaseUrl, credentials_end, is_database_url
from icn.kernel.errors import Invalid


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://localhost/icn", "postgresql://localhost/icn"),
        ("postgres://user:pass@localhost/icn_dag", "postgresql://user:********@localhost/icn_dag"),
        ("POSTGRES://u:p:q@h:5432", "postgresql://u:********@h:5432"),
        ("postgresql:///icn?host=/run/postgresql", "postgresql:///icn?host=/run/postgresql"),
        ("postgresql://u@[::1]:5,h2:6/d", "postgresql://u@[::1]:5,h2:6/d"),
        (
            "postgresql://h/d?a=1&password=p&sslpassword=q",
            "postgresql://h/d?a=1&password=********&sslpassword=********",
        ),
        ("postgresql://:p@h", "postgresql://:********@h"),
    ],
)
def test_a_url_is_kept_whole_and_shown_without_its_password(text, shown):
    url = DatabaseUrl.parse(text)
    assert url.reveal() == "postgresql://" + text.partition("://")[2]
    assert str(url) == shown
    assert repr(url) == f"DatabaseUrl({shown})"
    assert url.has_password == ("********" in shown)
    assert is_database_url(text)


@pytest.mark.parametrize(
    "text",
    [
        *["", "icn", "mysql://h/d", "host=h dbname=d", "postgresql:/h/d", "postgresql://u:a@b@h/d"],
        *["postgresql://u:a/b@h/d", "postgresql://u:a#b@h/d", "postgresql://u:a?b@h/d", "postgresql://h:port/d"],
        *["postgresql://h:123456/d", "postgresql://h/d#x", "postgresql://h/a b", "postgresql://h/a\nb"],
    ],
)
def test_what_is_no_such_url_is_refused_without_repeating_it(text):
    with pytest.raises(Invalid) as caught:
        DatabaseUrl.parse(text)
    assert len(text) < 5 or text not in str(caught.value)


def test_urls_are_compared_with_their_passwords():
    one = DatabaseUrl.parse("postgres://u:p@h/d")
    assert one == DatabaseUrl.parse("postgresql://u:p@h/d")
    assert hash(one) == hash(DatabaseUrl.parse("postgresql://u:p@h/d"))
    assert one != DatabaseUrl.parse("postgresql://u:q@h/d")


def test_a_url_is_not_pickled():
    for way in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            way(DatabaseUrl.parse("postgres://u:p@h/d"))


@pytest.mark.parametrize(
    ("text", "credentials"),
    [
        ("postgres://u:${P}@h/d", "postgres://u:${P}"),
        ("postgres://h/${D}@x", "postgres://"),
        ("/u:${P}@h", ""),
        ("${URL}", ""),
    ],
)
def test_where_the_credentials_of_a_url_end(text, credentials):
    assert text[: credentials_end(text)] == credentials
