"""The layouts of a key file, as bytes: plain, encrypted, and the older encrypted one that is only read.

All of ours begin with a header that says how to read the rest, and for the encrypted form every byte of it is
authenticated, so that nobody can weaken the key derivation of somebody's file unnoticed (semantics §1):

    plain       magic 8 · version 1 · kind 0 · public key 32 · seed 32
    encrypted   magic 8 · version 1 · kind 1 · public key 32 · memory KiB u32 · iterations u32 · lanes u32
                · salt 16 · nonce 12 · AES-256-GCM(seed) 48; key by Argon2id, the header is the associated data
    older       salt 16 · nonce 12 · AES-256-GCM(seed) 48; key by PBKDF2-HMAC-SHA256, 100,000 rounds

Numbers are big-endian. The public key is there so that damage shows in the plain form too: it must belong to the seed.
Costs are bounded when read, or a hostile file could take all memory before its tag is checked.

Not here: files, modes, who may read (`file`).
"""

import struct
from dataclasses import dataclass
from typing import ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from icn.kernel.errors import Fault
from icn.kernel.ids import PUBLIC_KEY_BYTES
from icn.kernel.signing import SEED_BYTES

MAGIC = b"icn-key\n"
VERSION = 1
SALT_BYTES = 16
NONCE_BYTES = 12
SEALING_BYTES = SALT_BYTES + NONCE_BYTES
"""Random bytes that `seal` needs."""
KEY_FILE_BYTES_MAX = 1024
MEMORY_KIB_MAX = 1024 * 1024
ITERATIONS_MAX = 64
LANES_MAX = 64
OLDER_BYTES = 76
OLDER_ROUNDS = 100_000

_PLAIN, _ENCRYPTED = 0, 1
_PREFIX = struct.Struct(f">8sBB{PUBLIC_KEY_BYTES}s")
_COST = struct.Struct(">III")
_TAG_BYTES = 16
_HEADER_BYTES = _PREFIX.size + _COST.size + SALT_BYTES + NONCE_BYTES


class KeyFileDamaged(Fault):
    """Not a key file, or one whose bytes have changed."""

    code: ClassVar[str] = "key.damaged"


class PassphraseNeeded(Fault):
    """The key file is encrypted and no passphrase was given."""

    code: ClassVar[str] = "key.passphrase_needed"


class WrongPassphrase(Fault):
    """The passphrase does not open the key file. A changed file looks the same: the tag cannot tell."""

    code: ClassVar[str] = "key.wrong_passphrase"


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What one guess at a passphrase costs. The default is the second recommendation of RFC 9106, section 4."""

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4


def plain(seed: bytes) -> bytes:
    """The file's bytes without encryption."""
    return _PREFIX.pack(MAGIC, VERSION, _PLAIN, _public_key_of(seed)) + seed


def seal(seed: bytes, passphrase: str, entropy: bytes, cost: Argon2Cost) -> bytes:
    """The file's bytes, encrypted. `entropy`: `SEALING_BYTES` fresh random bytes."""
    salt, nonce = entropy[:SALT_BYTES], entropy[SALT_BYTES:]
    header = (
        _PREFIX.pack(MAGIC, VERSION, _ENCRYPTED, _public_key_of(seed))
        + _COST.pack(cost.memory_kib, cost.iterations, cost.lanes)
        + salt
        + nonce
    )
    return header + AESGCM(_argon2id(passphrase, salt, cost)).encrypt(nonce, seed, header)


def unseal(content: bytes, passphrase: str | None) -> bytes:
    """The seed in a file of any layout. Raises `KeyFileDamaged`, `PassphraseNeeded`, `WrongPassphrase`.

    A passphrase given for a plain file is not needed and not looked at.
    """
    if not content.startswith(MAGIC):
        if len(content) == OLDER_BYTES:
            return _unseal_older(content, passphrase)
        raise KeyFileDamaged("not a key file of icn-node")
    if len(content) < _PREFIX.size:
        raise KeyFileDamaged("the key file is cut short")
    _, version, kind, public_key = _PREFIX.unpack_from(content)
    if version != VERSION:
        raise KeyFileDamaged(f"the key file has format {version}; this release reads format {VERSION}")
    if kind == _PLAIN:
        seed = content[_PREFIX.size :]
    elif kind == _ENCRYPTED:
        seed = _unseal_encrypted(content, passphrase)
    else:
        raise KeyFileDamaged(f"the key file is of kind {kind}, which does not exist")
    if len(seed) != SEED_BYTES or _public_key_of(seed) != public_key:
        raise KeyFileDamaged("the key in the file does not match the public key beside it")
    return seed


def public_key_in(content: bytes) -> bytes | None:
    """The public key that a file of the present layout names, sealed or not; None for the older one, which names none.

    It is not compared with the seed: that is `unseal`'s business. Raises `KeyFileDamaged`.
    """
    if len(content) == OLDER_BYTES and not content.startswith(MAGIC):
        return None
    if not content.startswith(MAGIC) or len(content) < _PREFIX.size:
        raise KeyFileDamaged("not a key file of icn-node")
    _, version, _, public_key = _PREFIX.unpack_from(content)
    if version != VERSION:
        raise KeyFileDamaged(f"the key file has format {version}; this release reads format {VERSION}")
    return bytes(public_key)


def _unseal_encrypted(content: bytes, passphrase: str | None) -> bytes:
    if len(content) != _HEADER_BYTES + SEED_BYTES + _TAG_BYTES:
        raise KeyFileDamaged("the encrypted key file is cut short or too long")
    header, sealed = content[:_HEADER_BYTES], content[_HEADER_BYTES:]
    cost = Argon2Cost(*_COST.unpack_from(header, _PREFIX.size))
    salt, nonce = header[-SEALING_BYTES:-NONCE_BYTES], header[-NONCE_BYTES:]
    # RFC 9106, section 3.1: at least one pass, one lane, and 8 KiB a lane.
    in_bounds = (
        1 <= cost.iterations <= ITERATIONS_MAX
        and 1 <= cost.lanes <= LANES_MAX
        and 8 * cost.lanes <= cost.memory_kib <= MEMORY_KIB_MAX
    )
    if not in_bounds:
        raise KeyFileDamaged(f"the key file asks for a key derivation out of bounds: {cost}")
    key = _argon2id(_given(passphrase), salt, cost)
    return _opened(key, nonce, sealed, header)


def _unseal_older(content: bytes, passphrase: str | None) -> bytes:
    salt, nonce, sealed = content[:SALT_BYTES], content[SALT_BYTES:SEALING_BYTES], content[SEALING_BYTES:]
    derivation = PBKDF2HMAC(algorithm=SHA256(), length=32, salt=salt, iterations=OLDER_ROUNDS)
    return _opened(derivation.derive(_given(passphrase).encode()), nonce, sealed, None)


def _opened(key: bytes, nonce: bytes, sealed: bytes, header: bytes | None) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, header)
    except InvalidTag:
        raise WrongPassphrase("the passphrase does not open the key file, or the file was changed") from None


def _given(passphrase: str | None) -> str:
    if passphrase is None:
        raise PassphraseNeeded("the key file is encrypted and there is no passphrase")
    return passphrase


def _argon2id(passphrase: str, salt: bytes, cost: Argon2Cost) -> bytes:
    derivation = Argon2id(
        salt=salt, length=32, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib
    )
    return derivation.derive(passphrase.encode())


def _public_key_of(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
