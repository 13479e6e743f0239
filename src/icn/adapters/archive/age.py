"""Encryption of a whole stream in the age format, so that `age` and its kin open what we write, and we what they write.

Source: https://age-encryption.org/v1 (https://github.com/C2SP/C2SP/blob/main/age.md): X25519 recipients (`age1…`) and
passphrases (scrypt). The primitives are those of `cryptography`. The bindings of age for Python move 8 KiB at a time
through Python objects, 50 MB/s, and hold a stream under a passphrase whole; this does neither.

```
header   age-encryption.org/v1 | a stanza per recipient: the file key, wrapped for it | MAC over all of it
payload  nonce | chunks of 64 KiB, each sealed; the last one is marked, so that a stream that was cut is seen to be
```

Memory does not grow with the stream. Each chunk is authentic when it is given out, but only the end shows that none is
missing: whoever reads comes to the end before anything is done with what was read.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from icn.adapters.archive.age_keys import identity_key, recipient_key
from icn.kernel.errors import Invalid, Kind, Refusal

VERSION_LINE = b"age-encryption.org/v1"
CHUNK_BYTES = 64 * 1024
TAG_BYTES = 16
FILE_KEY_BYTES = 16
NONCE_BYTES = 16
SALT_BYTES = 16
HEADER_LINE_BYTES_MAX = 4096
HEADER_LINES_MAX = 4096
"""Of a header that is read: more recipients than anybody encrypts to."""
SCRYPT_LOG_N = 18
"""2^18: about a second and 256 MiB, as `age -p` has it."""
SCRYPT_LOG_N_MAX = 20
"""More is refused: a header may ask whoever opens it for a gigabyte at most."""
MAGIC_BYTES = len(VERSION_LINE)
"""What of a file `is_encrypted` looks at."""
ENCRYPTED_SUFFIX = ".age"

_WRAP_NONCE = bytes(12)
_X25519_INFO = b"age-encryption.org/v1/X25519"
_SCRYPT_INFO = b"age-encryption.org/v1/scrypt"
_BASE64_LINE = 64
_ARGUMENT = re.compile(r"[!-~]+")
"""VCHAR of the specification: what is visible in ASCII."""


class NotDecrypted(Refusal):
    """The keys do not open it, or it was cut or changed."""

    code: ClassVar[str] = "archive.not_decrypted"
    kind: ClassVar[Kind] = Kind.UNAUTHENTICATED

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"the encrypted archive cannot be opened: {why}")


class NotAsEncrypted(NotDecrypted):
    """The key fits, and what it opens was cut or changed."""

    code: ClassVar[str] = "archive.not_as_encrypted"
    kind: ClassVar[Kind] = Kind.INVALID


@contextlib.contextmanager
def encrypting(sink: BinaryIO, recipients: Sequence[str] = (), *, passphrase: str | None = None) -> Iterator[BinaryIO]:
    """A stream whose bytes go to `sink` encrypted, for each of `recipients` or under the passphrase.

    Whole when the `with` ends without an error; `sink` is not closed.

    Raises:
        Invalid: a recipient that is none, or not exactly one of recipients and passphrase.
        OSError: of the sink.
    """
    if bool(recipients) == (passphrase is not None):
        raise Invalid("encryption", "either recipients or a passphrase")
    file_key = os.urandom(FILE_KEY_BYTES)
    if passphrase is not None:
        stanzas = [_wrapped_with_passphrase(file_key, passphrase)]
    else:
        stanzas = [_wrapped_for(file_key, recipient_key(text)) for text in recipients]
    head = VERSION_LINE + b"\n" + b"".join(stanza.encoded() for stanza in stanzas) + b"---"
    nonce = os.urandom(NONCE_BYTES)
    sink.write(head + b" " + _base64(_mac(file_key, head)) + b"\n" + nonce)
    writer = _Writer(sink, ChaCha20Poly1305(_derived(file_key, nonce, b"payload")))
    yield writer  # type: ignore[misc]  # a writable RawIOBase has what BinaryIO asks for, but for its name
    writer.finish()


@contextlib.contextmanager
def decrypting(
    source: BinaryIO, identities: Sequence[str] = (), *, passphrase: str | None = None
) -> Iterator[BinaryIO]:
    """The plaintext of `source`, to be read to its end.

    Raises, from here or from a read:
        Invalid: an identity that is none, or not exactly one of identities and passphrase.
        NotDecrypted: no key fits, or the stream was cut or changed.
        OSError: of the source.
    """
    if bool(identities) == (passphrase is not None):
        raise Invalid("decryption", "either identities or a passphrase")
    keys = [identity_key(text) for text in identities]
    stanzas, head, mac = _read_header(source)
    file_key = _unwrapped(stanzas, keys) if passphrase is None else _unwrapped_with_passphrase(stanzas, passphrase)
    if not hmac.compare_digest(_mac(file_key, head), mac):
        raise NotAsEncrypted("its header was changed")
    nonce = _read_exactly(source, NONCE_BYTES)
    yield io.BufferedReader(_Reader(source, ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))), CHUNK_BYTES)


def is_encrypted(beginning: bytes) -> bool:
    """Whether a file that begins so is in the age format."""
    return beginning.startswith(VERSION_LINE)


def identities_in(text: str) -> list[str]:
    """The identities of a file as `age-keygen` writes it: one a line, comments behind `#`."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


# Header


@dataclass(frozen=True, slots=True)
class _Stanza:
    arguments: tuple[str, ...]
    body: bytes

    def encoded(self) -> bytes:
        text = _base64(self.body)
        lines = [text[at : at + _BASE64_LINE] for at in range(0, len(text) + 1, _BASE64_LINE)]
        return f"-> {' '.join(self.arguments)}\n".encode() + b"".join(line + b"\n" for line in lines)


def _wrapped_for(file_key: bytes, recipient: bytes) -> _Stanza:
    ephemeral = X25519PrivateKey.from_private_bytes(os.urandom(32))
    share = ephemeral.public_key().public_bytes_raw()
    try:
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    except ValueError as error:  # a point of small order
        raise Invalid("age recipient", "a key that hides nothing") from error
    wrap_key = _derived(shared, share + recipient, _X25519_INFO)
    return _Stanza(("X25519", _base64(share).decode()), ChaCha20Poly1305(wrap_key).encrypt(_WRAP_NONCE, file_key, None))


def _wrapped_with_passphrase(file_key: bytes, passphrase: str) -> _Stanza:
    salt = os.urandom(SALT_BYTES)
    wrap_key = _stretched(passphrase, salt, SCRYPT_LOG_N)
    arguments = ("scrypt", _base64(salt).decode(), str(SCRYPT_LOG_N))
    return _Stanza(arguments, ChaCha20Poly1305(wrap_key).encrypt(_WRAP_NONCE, file_key, None))


def _unwrapped(stanzas: list[_Stanza], keys: list[bytes]) -> bytes:
    for stanza in stanzas:
        if stanza.arguments[0] == "scrypt":
            raise NotDecrypted("it was encrypted with a passphrase; give --passphrase-file")
        if stanza.arguments[0] != "X25519" or len(stanza.arguments) != 2:
            continue  # a recipient of another kind
        share = _from_base64(stanza.arguments[1])
        for key in keys:
            private = X25519PrivateKey.from_private_bytes(key)
            try:
                shared = private.exchange(X25519PublicKey.from_public_bytes(share))
            except ValueError as error:
                raise NotDecrypted("its header is malformed") from error
            wrap_key = _derived(shared, share + private.public_key().public_bytes_raw(), _X25519_INFO)
            if (file_key := _opened(wrap_key, stanza)) is not None:
                return file_key
    raise NotDecrypted("it was encrypted to other recipients than the identities given")


def _unwrapped_with_passphrase(stanzas: list[_Stanza], passphrase: str) -> bytes:
    arguments = stanzas[0].arguments
    if arguments[0] != "scrypt":
        raise NotDecrypted("it was encrypted to recipients, not with a passphrase; give --identity")
    if len(stanzas) != 1 or len(arguments) != 3 or not arguments[2].isdigit() or len(arguments[2]) > 2:
        raise NotDecrypted("its header is malformed")
    salt, log_n = _from_base64(arguments[1]), int(arguments[2])
    if len(salt) != SALT_BYTES:
        raise NotDecrypted("its header is malformed")
    if not 1 <= log_n <= SCRYPT_LOG_N_MAX:
        raise NotDecrypted(f"its passphrase asks for 2^{log_n} rounds; at most 2^{SCRYPT_LOG_N_MAX} are spent")
    file_key = _opened(_stretched(passphrase, salt, log_n), stanzas[0])
    if file_key is None:
        raise NotDecrypted("the passphrase is wrong")
    return file_key


def _opened(wrap_key: bytes, stanza: _Stanza) -> bytes | None:
    if len(stanza.body) != FILE_KEY_BYTES + TAG_BYTES:
        raise NotDecrypted("its header is malformed")
    try:
        return ChaCha20Poly1305(wrap_key).decrypt(_WRAP_NONCE, stanza.body, None)
    except InvalidTag:
        return None


def _read_header(source: BinaryIO) -> tuple[list[_Stanza], bytes, bytes]:
    """The stanzas, the bytes the MAC is over, and the MAC. The source stands behind the header."""
    head = bytearray()

    def line() -> bytes:
        text = bytearray()
        while not text.endswith(b"\n"):
            sign = source.read(1)
            if not sign or len(text) > HEADER_LINE_BYTES_MAX:
                raise NotDecrypted("its header is cut or malformed")
            text += sign
        return bytes(text)

    if (first := line()) != VERSION_LINE + b"\n":
        raise NotDecrypted("it is no age file")
    head += first
    stanzas: list[_Stanza] = []
    for _ in range(HEADER_LINES_MAX):
        begin = line()
        if begin.startswith(b"--- "):
            if not stanzas:
                raise NotDecrypted("it is encrypted to nobody")
            return stanzas, bytes(head) + b"---", _from_base64(begin[4:-1].decode("ascii", "replace"))
        if not begin.startswith(b"-> "):
            raise NotDecrypted("its header is malformed")
        head += begin
        body = b""
        while True:
            part = line()
            if len(part) > _BASE64_LINE + 1:
                raise NotDecrypted("its header is malformed")
            head += part
            body += part[:-1]
            if len(part) <= _BASE64_LINE:
                break
        arguments = tuple(begin[3:-1].decode("ascii", "replace").split(" "))
        if not all(_ARGUMENT.fullmatch(argument) for argument in arguments):
            raise NotDecrypted("its header is malformed")
        stanzas.append(_Stanza(arguments, _from_base64(body.decode("ascii", "replace"))))
    raise NotDecrypted("its header has too many recipients")


# Payload


class _Writer(io.RawIOBase):
    """Seals chunks as they fill."""

    def __init__(self, sink: BinaryIO, cipher: ChaCha20Poly1305) -> None:
        super().__init__()
        self._sink = sink
        self._cipher = cipher
        self._number = 0
        self._waiting = bytearray()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]  # narrower on purpose
        """Take bytes of the plaintext."""
        self._waiting += data
        # What fills a chunk waits until more comes: the last one, full or not, is marked.
        while len(self._waiting) > CHUNK_BYTES:
            with memoryview(self._waiting) as view:
                pieces = [
                    self._sealed(view[at : at + CHUNK_BYTES], last=False)
                    for at in range(0, len(view) - CHUNK_BYTES, CHUNK_BYTES)
                ]
            self._sink.write(b"".join(pieces))
            del self._waiting[: len(pieces) * CHUNK_BYTES]
        return len(data)

    def finish(self) -> None:
        """Write the last chunk."""
        self._sink.write(self._sealed(self._waiting, last=True))
        self._sink.flush()

    def _sealed(self, chunk: "bytearray | memoryview", *, last: bool) -> bytes:
        nonce = self._number.to_bytes(11, "big") + bytes((last,))
        self._number += 1
        return self._cipher.encrypt(nonce, chunk, None)


class _Reader(io.RawIOBase):
    """Opens chunks as they are asked for."""

    def __init__(self, source: BinaryIO, cipher: ChaCha20Poly1305) -> None:
        super().__init__()
        self._source = source
        self._cipher = cipher
        self._number = 0
        self._sealed = self._next()
        self._ready = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]  # narrower on purpose
        """Bytes of the plaintext."""
        if not self._ready and not self._ended:
            self._ready = memoryview(self._open())
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _open(self) -> bytes:
        following = self._next()
        last = not following
        nonce = self._number.to_bytes(11, "big") + bytes((last,))
        self._number += 1
        try:
            chunk = self._cipher.decrypt(nonce, self._sealed, None)
        except InvalidTag as error:
            raise NotAsEncrypted("it was cut or changed") from error
        if last and not chunk and self._number > 1:
            raise NotAsEncrypted("it was changed")  # an empty last chunk stands alone
        self._sealed, self._ended = following, last
        return chunk

    def _next(self) -> bytes:
        data = self._source.read(CHUNK_BYTES + TAG_BYTES)
        while data and len(data) < CHUNK_BYTES + TAG_BYTES:
            more = self._source.read(CHUNK_BYTES + TAG_BYTES - len(data))
            if not more:
                break
            data += more
        return data


def _read_exactly(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise NotAsEncrypted("it was cut")
    return data


# Keys


def _derived(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(secret)


def _stretched(passphrase: str, salt: bytes, log_n: int) -> bytes:
    return Scrypt(_SCRYPT_INFO + salt, 32, 2**log_n, 8, 1).derive(passphrase.encode())


def _mac(file_key: bytes, head: bytes) -> bytes:
    return hmac.digest(_derived(file_key, b"", b"header"), head, hashlib.sha256)


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _from_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotDecrypted("its header is malformed") from error
    if _base64(data).decode() != text:
        raise NotDecrypted("its header is malformed")
    return data
