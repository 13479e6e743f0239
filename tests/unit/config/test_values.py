import copy
import json
import pickle

import pytest

from icn.config.values import Bucket, HostPort, Secret
from icn.kernel.errors import Invalid


@pytest.mark.parametrize("text", ["127.0.0.1:7845", "0.0.0.0:0", "[::1]:7845", "localhost:65535", "node-a.example:80"])
def test_an_address_is_printed_as_it_was_written(text):
    assert str(HostPort.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("127.0.0.1", "has no port"),
        (":7845", "0.0.0.0:7845"),
        ("127.0.0.1:", "is not a number"),
        ("127.0.0.1:65536", "0 to 65535"),
        ("127.0.0.1:+1", "is not a number"),
        ("127.0.0.1:٣", "is not a number"),
        ("127.0.0.256:1", "not an IPv4"),
        ("::1:7845", "brackets"),
        ("[127.0.0.1]:1", "not an IPv6"),
        ("bad host:1", "neither"),
    ],
)
def test_an_address_that_cannot_be_is_refused_with_the_reason(text, why):
    with pytest.raises(Invalid, match=why):
        HostPort.parse(text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("localhost.example:1", False),
    ],
)
def test_only_this_machine_counts_as_loopback(text, loopback):
    assert HostPort.parse(text).is_loopback is loopback


def test_a_secret_is_printed_as_stars_in_every_way():
    secret = Secret("hunter2")
    ways = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r}",
        repr([secret]),
        json.dumps(str(secret)),
    ]
    assert not any("hunter2" in way for way in ways)
    assert secret.reveal() == "hunter2"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.deepcopy({"a": secret})


def test_secrets_are_equal_when_their_text_is():
    assert Secret("ä") == Secret("ä")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


@pytest.mark.parametrize("text", ["s3://coop-backups", "s3://coop.backups/a", "s3://b-1/a/B_c.d/(e)"])
def test_a_bucket_is_printed_as_it_was_written(text):
    assert str(Bucket.parse(text)) == text
    assert Bucket.parse(text + "/") == Bucket.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "s3://",
        "s3:///a",
        "s3://ab",
        "s3://A-bucket",
        "s3://-bucket",
        "s3://user:secret@bucket",
        "s3://bucket//a",
        "s3://bucket/../other",
        "s3://bucket/./a",
        "s3://bucket/a b",
        "s3://bucket/ä",
        "s3://bucket/a?x",
        "s3://bucket/" + "a" * 600,
        "http://bucket/a",
        "/bucket/a",
    ],
)
def test_what_is_no_bucket_is_refused(text):
    with pytest.raises(Invalid, match="bucket"):
        Bucket.parse(text)
