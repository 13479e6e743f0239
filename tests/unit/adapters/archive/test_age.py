import io
import os
import shutil
import subprocess
from pathlib import Path

import pyrage
import pytest

from icn.adapters.archive.age import (
    CHUNK_BYTES,
    TAG_BYTES,
    NotDecrypted,
    decrypting,
    encrypting,
    identities_in,
    is_encrypted,
)
from icn.adapters.archive.age_keys import identity_key, identity_text, recipient_key, recipient_text
from icn.kernel.errors import Invalid

IDENTITY = pyrage.x25519.Identity.generate()
RECIPIENT = str(IDENTITY.to_public())
SIZES = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 77)


def sealed(plaintext: bytes, *recipients: str, passphrase: str | None = None, piece: int = 30_000) -> bytes:
    sink = io.BytesIO()
    with encrypting(sink, recipients, passphrase=passphrase) as stream:
        for at in range(0, len(plaintext), piece):
            stream.write(plaintext[at : at + piece])
    return sink.getvalue()


def opened(data: bytes, *identities: str, passphrase: str | None = None) -> bytes:
    with decrypting(io.BytesIO(data), identities, passphrase=passphrase) as stream:
        return stream.read()


@pytest.mark.parametrize("size", SIZES)
def test_another_implementation_opens_what_we_write_and_we_what_it_writes(size: int) -> None:
    plaintext = os.urandom(size)
    assert pyrage.decrypt(sealed(plaintext, RECIPIENT), [IDENTITY]) == plaintext
    assert opened(pyrage.encrypt(plaintext, [IDENTITY.to_public()]), str(IDENTITY)) == plaintext


def test_each_of_several_recipients_opens_it() -> None:
    others = [pyrage.x25519.Identity.generate() for _ in range(3)]
    data = sealed(b"for all", *(str(other.to_public()) for other in others))
    for other in others:
        assert pyrage.decrypt(data, [other]) == b"for all"
        assert opened(data, str(IDENTITY), str(other)) == b"for all"
    with pytest.raises(NotDecrypted, match="other recipients"):
        opened(data, str(IDENTITY))


@pytest.mark.usefixtures("cheap_passphrase")
def test_another_implementation_opens_what_we_write_under_a_passphrase() -> None:
    assert pyrage.passphrase.decrypt(sealed(b"abc", passphrase="long enough"), "long enough") == b"abc"


@pytest.mark.long  # as much work as this machine does in seconds; tests/wire opens published ones
def test_we_open_what_another_implementation_writes_under_a_passphrase() -> None:
    theirs = pyrage.passphrase.encrypt(b"abc", "long enough")
    assert opened(theirs, passphrase="long enough") == b"abc"


@pytest.mark.usefixtures("cheap_passphrase")
def test_another_passphrase_is_a_wrong_one() -> None:
    with pytest.raises(NotDecrypted, match="passphrase is wrong"):
        opened(sealed(b"abc", passphrase="long enough"), passphrase="another")


@pytest.mark.usefixtures("cheap_passphrase")
def test_the_wrong_way_of_opening_is_named() -> None:
    with pytest.raises(NotDecrypted, match="--passphrase-file"):
        opened(sealed(b"abc", passphrase="x"), str(IDENTITY))
    with pytest.raises(NotDecrypted, match="--identity"):
        opened(sealed(b"abc", RECIPIENT), passphrase="x")
    with pytest.raises(Invalid):
        opened(sealed(b"abc", RECIPIENT))
    with pytest.raises(Invalid):
        sealed(b"abc")


@pytest.mark.slow
def test_every_cut_and_every_changed_byte_is_seen() -> None:
    plaintext = os.urandom(CHUNK_BYTES + 100)
    data = sealed(plaintext, RECIPIENT)
    places = [*range(0, 300, 3), *range(300, len(data), 4999), len(data) - 1]
    for place in places:
        with pytest.raises(NotDecrypted):
            opened(data[:place], str(IDENTITY))
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(NotDecrypted):
            opened(bytes(changed), str(IDENTITY))
    with pytest.raises(NotDecrypted):
        opened(data + b"\0", str(IDENTITY))


def test_a_stream_cut_between_two_chunks_is_seen_at_its_end() -> None:
    data = sealed(bytes(3 * CHUNK_BYTES), RECIPIENT)
    header = len(data) - 3 * (CHUNK_BYTES + TAG_BYTES)
    with decrypting(io.BytesIO(data[: header + 2 * (CHUNK_BYTES + TAG_BYTES)]), [str(IDENTITY)]) as stream:
        assert stream.read(10) == bytes(10)
        with pytest.raises(NotDecrypted, match="cut"):
            stream.read()


@pytest.mark.usefixtures("cheap_passphrase")
def test_a_header_cannot_ask_for_more_work_than_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = sealed(b"abc", passphrase="x")
    with pytest.raises(NotDecrypted, match="2\\^63"):
        opened(data.replace(b" 4\n", b" 63\n", 1), passphrase="x")


def test_a_body_that_fails_leaves_a_stream_that_cannot_be_taken_for_whole() -> None:
    sink = io.BytesIO()

    def give_up() -> None:
        with encrypting(sink, [RECIPIENT]) as stream:
            stream.write(b"half of it")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        give_up()
    with pytest.raises(NotDecrypted):
        opened(sink.getvalue(), str(IDENTITY))


def test_keys_are_read_as_age_writes_them() -> None:
    assert recipient_text(recipient_key(RECIPIENT)) == RECIPIENT
    assert identity_text(identity_key(str(IDENTITY))) == str(IDENTITY)
    assert identities_in(f"# created: today\n# public key: {RECIPIENT}\n{IDENTITY}\n\n") == [str(IDENTITY)]
    assert is_encrypted(sealed(b"", RECIPIENT))
    for wrong in (
        "",
        "age1",
        RECIPIENT[:-1],
        RECIPIENT[:-1] + "b",
        str(IDENTITY),
        RECIPIENT.swapcase()[:5] + RECIPIENT[5:],
    ):
        with pytest.raises(Invalid):
            recipient_key(wrong)
    changed = RECIPIENT[:10] + ("q" if RECIPIENT[10] != "q" else "p") + RECIPIENT[11:]
    with pytest.raises(Invalid, match="checksum"):
        recipient_key(changed)
    with pytest.raises(Invalid) as refused:
        identity_key("AGE-SECRET-KEY-1" + "Q" * 58)
    assert "QQQ" not in str(refused.value)


@pytest.mark.skipif(shutil.which("age") is None, reason="the program age is not installed")
def test_the_age_program_opens_what_we_write(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{IDENTITY}\n", encoding="ascii")
    (tmp_path / "secret.age").write_bytes(sealed(b"hello" * 50_000, RECIPIENT))
    done = subprocess.run(
        ["age", "--decrypt", "-i", tmp_path / "key", tmp_path / "secret.age"], check=True, capture_output=True
    )
    assert done.stdout == b"hello" * 50_000
