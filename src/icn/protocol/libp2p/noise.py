"""The Noise handshake `Noise_XX_25519_ChaChaPoly_SHA256`, as the Noise Protocol Framework defines it (revision 34).

Source: https://noiseprotocol.org/noise.html. XX lets both sides learn each other's static key inside the handshake:

    -> e
    <- e, ee, s, es
    -> s, se

| message | written by | keys mixed while writing it | what it proves |
|---|---|---|---|
| 1 | initiator | none; the payload is readable by all | nothing |
| 2 | responder | ee, es | the responder holds the static key it sent |
| 3 | initiator | se | the initiator holds the static key it sent |

After message 3 both sides split the chaining key into one cipher for each direction.

Keys are 32 bytes handed in: no entropy here. What surprised: a peer may send a point of low order as its key, which
makes the shared secret zero for everybody; `cryptography` refuses it, and so do we.

Not here: frames, identities and what the payloads say (`secure_channel`).
"""

import hashlib
import hmac
from enum import Enum, auto

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from icn.kernel.errors import PeerViolation, require

PROTOCOL_NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
KEY_BYTES = 32
TAG_BYTES = 16
MESSAGE_BYTES_MAX = 65_535
"""Noise: "All Noise messages are less than or equal to 65535 bytes in length"."""
PLAINTEXT_BYTES_MAX = MESSAGE_BYTES_MAX - TAG_BYTES
_NONCE_RESERVED = 2**64 - 1
"""Noise: "The maximum n value (2^64-1) is reserved for other use."."""


class Role(Enum):
    """Who opened the connection. Noise, Yamux and multistream all ask."""

    INITIATOR = auto()
    RESPONDER = auto()


class Cipher:
    """One direction's key and its counting nonce. A nonce is never used twice, even after a failed decryption."""

    __slots__ = ("_aead", "_nonce")

    def __init__(self, key: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._nonce = 0

    def encrypt(self, plaintext: bytes | memoryview, associated: bytes | None = None) -> bytes:
        """The ciphertext with its tag."""
        return self._aead.encrypt(self._next_nonce(), plaintext, associated)

    def decrypt(self, ciphertext: bytes | memoryview, associated: bytes | None = None) -> bytes:
        """The plaintext. Raises `PeerViolation` when the tag does not fit; the connection is then over."""
        try:
            return self._aead.decrypt(self._next_nonce(), ciphertext, associated)
        except InvalidTag as error:
            raise PeerViolation("noise: a message does not decrypt") from error

    def _next_nonce(self) -> bytes:
        """ChaChaPoly: "the 96-bit nonce is formed by encoding 32 bits of zeros followed by little-endian of n"."""
        nonce = self._nonce
        require(nonce < _NONCE_RESERVED, "a Noise nonce is never reused")
        self._nonce = nonce + 1
        return b"\0\0\0\0" + nonce.to_bytes(8, "little")


class XXHandshake:
    """The three messages of XX, for either role. `write` and `read` are called in turn, `split` after the third."""

    def __init__(self, role: Role, *, static: bytes, ephemeral: bytes, prologue: bytes = b"") -> None:
        self._role = role
        self._static = X25519PrivateKey.from_private_bytes(static)
        self._ephemeral = X25519PrivateKey.from_private_bytes(ephemeral)
        # "If protocol_name is less than or equal to HASHLEN bytes in length, sets h equal to protocol_name with zero
        # bytes appended": this name has exactly 32.
        self._hash = PROTOCOL_NAME
        self._chaining = PROTOCOL_NAME
        self._cipher: Cipher | None = None
        self._remote_ephemeral = b""
        self._remote_static = b""
        self._done = 0
        self._mix_hash(prologue)

    @property
    def messages(self) -> int:
        """How many of the three messages have passed."""
        return self._done

    @property
    def remote_static(self) -> bytes:
        """The other's static public key; empty until its message was read."""
        return self._remote_static

    @property
    def hash(self) -> bytes:
        """The handshake hash: the same on both sides, and unlike that of any other session."""
        return self._hash

    @property
    def static_public(self) -> bytes:
        """Our static public key."""
        return self._static.public_key().public_bytes_raw()

    def write(self, payload: bytes) -> bytes:
        """The next message, with `payload` in it. Called only when it is our turn."""
        require(self._ours(writing=True), "Noise messages are written in turn")
        out = b""
        if self._done < 2:
            key = self._ephemeral.public_key().public_bytes_raw()
            self._mix_hash(key)
            out += key
        if self._done == 1:
            self._mix_key(self._ephemeral, self._remote_ephemeral)  # ee
        if self._done > 0:
            out += self._encrypt_and_hash(self.static_public)
            self._mix_key(self._static, self._remote_ephemeral)  # es as responder, se as initiator
        out += self._encrypt_and_hash(payload)
        self._done += 1
        return out

    def read(self, message: bytes) -> bytes:
        """The payload of the other's next message. Raises `PeerViolation`."""
        require(self._ours(writing=False), "Noise messages are read in turn")
        position = 0
        if self._done < 2:
            self._remote_ephemeral, position = self._cut(message, position, KEY_BYTES)
            self._mix_hash(self._remote_ephemeral)
        if self._done == 1:
            self._mix_key(self._ephemeral, self._remote_ephemeral)  # ee
        if self._done > 0:
            sealed, position = self._cut(message, position, KEY_BYTES + TAG_BYTES)
            self._remote_static = self._decrypt_and_hash(sealed)
            self._mix_key(self._ephemeral, self._remote_static)  # es as initiator, se as responder
        payload = self._decrypt_and_hash(message[position:])
        self._done += 1
        return payload

    def split(self) -> tuple[Cipher, Cipher]:
        """(ours to send with, ours to receive with)."""
        require(self._done == 3, "a Noise session splits after its third message")
        first, second = _hkdf(self._chaining, b"")
        if self._role is Role.INITIATOR:
            return Cipher(first), Cipher(second)
        return Cipher(second), Cipher(first)

    def _ours(self, *, writing: bool) -> bool:
        """Whether this is the moment: the initiator writes messages 0 and 2, the responder message 1."""
        initiators = self._done in {0, 2}
        return self._done < 3 and writing == (initiators == (self._role is Role.INITIATOR))

    @staticmethod
    def _cut(message: bytes, position: int, length: int) -> tuple[bytes, int]:
        if len(message) < position + length:
            raise PeerViolation("noise: a handshake message is too short")
        return message[position : position + length], position + length

    def _mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def _mix_key(self, private: X25519PrivateKey, public: bytes) -> None:
        try:
            secret = private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            raise PeerViolation("noise: a key is a point of low order") from error
        self._chaining, key = _hkdf(self._chaining, secret)
        self._cipher = Cipher(key)

    def _encrypt_and_hash(self, plaintext: bytes) -> bytes:
        sealed = self._cipher.encrypt(plaintext, self._hash) if self._cipher else plaintext
        self._mix_hash(sealed)
        return sealed

    def _decrypt_and_hash(self, sealed: bytes) -> bytes:
        plaintext = self._cipher.decrypt(sealed, self._hash) if self._cipher else sealed
        self._mix_hash(sealed)
        return plaintext


def _hkdf(chaining: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Noise's HKDF with two outputs."""
    temporary = hmac.digest(chaining, material, "sha256")
    first = hmac.digest(temporary, b"\x01", "sha256")
    return first, hmac.digest(temporary, first + b"\x02", "sha256")
