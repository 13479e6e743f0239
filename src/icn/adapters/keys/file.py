"""A node's identity key in a file: created once, never overwritten, readable by its owner only (semantics §1).

Losing this file is losing the node's name, and showing it is giving the name away; so a new one appears whole or not at
all, nothing replaces one that exists except `reseal_key`, which keeps the same seed, and one that others can read is
refused.

Not here: the layout (`sealing`); which path, and where the passphrase comes from (`config`).
"""

import os
import stat
from pathlib import Path
from typing import ClassVar

from icn.adapters.files import create_atomically, make_private_folders, write_atomically
from icn.adapters.keys.sealing import (
    KEY_FILE_BYTES_MAX,
    SEALING_BYTES,
    Argon2Cost,
    KeyFileDamaged,
    PassphraseNeeded,
    WrongPassphrase,
    plain,
    public_key_in,
    seal,
    unseal,
)
from icn.kernel.errors import Fault, require
from icn.kernel.ids import Did
from icn.kernel.signing import SEED_BYTES, SeedSigner

CREATING_BYTES = SEED_BYTES + SEALING_BYTES
"""Random bytes that `create_key` needs."""

__all__ = [
    "CREATING_BYTES",
    "SEALING_BYTES",
    "Argon2Cost",
    "KeyFileDamaged",
    "KeyFileExists",
    "KeyFileExposed",
    "KeyFileMissing",
    "KeyFileUnavailable",
    "PassphraseNeeded",
    "WrongPassphrase",
    "create_key",
    "did_in",
    "load_key",
    "reseal_key",
]


class KeyFileMissing(Fault):
    """There is no key file at the path."""

    code: ClassVar[str] = "key.missing"


class KeyFileExists(Fault):
    """There is a file where a new key should go."""

    code: ClassVar[str] = "key.exists"


class KeyFileExposed(Fault):
    """Group or world may read the key file."""

    code: ClassVar[str] = "key.exposed"


class KeyFileUnavailable(Fault):
    """The key file cannot be read or written."""

    code: ClassVar[str] = "key.unavailable"


def create_key(
    path: Path,
    entropy: bytes,
    *,
    passphrase: str | None,
    cost: Argon2Cost = Argon2Cost(),  # noqa: B008 - frozen
) -> SeedSigner:
    """Make a new identity at `path`, encrypted when there is a passphrase. `entropy`: `CREATING_BYTES` fresh bytes.

    Raises `KeyFileExists`, `KeyFileUnavailable`; then nothing was created.
    """
    require(len(entropy) == CREATING_BYTES, "a new key gets the random bytes it needs")
    seed = entropy[:SEED_BYTES]
    content = _content(seed, passphrase, entropy[SEED_BYTES:], cost)
    try:
        make_private_folders(path.parent)
        create_atomically(path, content)
    except FileExistsError as error:
        raise KeyFileExists(
            f"{path} exists; a key is never overwritten: move it away or choose another path"
        ) from error
    except OSError as error:
        raise KeyFileUnavailable(f"{path}: the new key could not be written: {error}") from error
    return SeedSigner(seed)


def load_key(path: Path, *, passphrase: str | None, may_be_exposed: bool = False) -> SeedSigner:
    """The identity in the file at `path`. `may_be_exposed` is for development only.

    Raises `KeyFileMissing`, `KeyFileExposed`, `KeyFileUnavailable`, `KeyFileDamaged`, `PassphraseNeeded`,
    `WrongPassphrase`.
    """
    return SeedSigner(_unseal(path, _read(path, may_be_exposed=may_be_exposed), passphrase))


def did_in(path: Path) -> Did | None:
    """Whose key the file at `path` says it is, without a passphrase; None for the older layout, which does not say.

    For telling, not for trusting: only `load_key` compares it with the key. Raises `KeyFileMissing`,
    `KeyFileUnavailable`, `KeyFileDamaged`.
    """
    content = _read(path, may_be_exposed=True)
    try:
        public_key = public_key_in(content)
    except KeyFileDamaged as fault:
        raise KeyFileDamaged(f"{path}: {fault}") from fault
    return None if public_key is None else Did.from_public_key(public_key)


def reseal_key(
    path: Path,
    entropy: bytes,
    *,
    passphrase: str | None,
    new_passphrase: str | None,
    cost: Argon2Cost = Argon2Cost(),  # noqa: B008 - frozen
) -> SeedSigner:
    """Write the same identity in the current layout under another passphrase, or none; the file is whole throughout.

    `entropy`: `SEALING_BYTES` fresh bytes. Also mends the mode of an exposed file. Raises what `load_key` raises.
    """
    require(len(entropy) == SEALING_BYTES, "a sealing gets the random bytes it needs")
    seed = _unseal(path, _read(path, may_be_exposed=True), passphrase)
    try:
        write_atomically(path, _content(seed, new_passphrase, entropy, cost))
    except OSError as error:
        raise KeyFileUnavailable(f"{path}: could not be written, the old file stands: {error}") from error
    return SeedSigner(seed)


def _content(seed: bytes, passphrase: str | None, entropy: bytes, cost: Argon2Cost) -> bytes:
    return plain(seed) if passphrase is None else seal(seed, passphrase, entropy, cost)


def _read(path: Path, *, may_be_exposed: bool) -> bytes:
    try:
        # Not blocking, or a named pipe in its place would hold up the start for good.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)  # of what we have open, not of what the name means by now
            content = file.read(KEY_FILE_BYTES_MAX + 1) if stat.S_ISREG(status.st_mode) else b""
    except FileNotFoundError as error:
        raise KeyFileMissing(f"there is no key file at {path}") from error
    except OSError as error:
        raise KeyFileUnavailable(f"{path}: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileUnavailable(f"{path} is not a file")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) and not may_be_exposed:
        raise KeyFileExposed(
            f"{path} is open to group or world (mode {stat.S_IMODE(status.st_mode):04o}): chmod 600 it"
        )
    if len(content) > KEY_FILE_BYTES_MAX:
        raise KeyFileDamaged(f"{path} is too large to be a key file")
    return content


def _unseal(path: Path, content: bytes, passphrase: str | None) -> bytes:
    try:
        return unseal(content, passphrase)
    except (KeyFileDamaged, PassphraseNeeded, WrongPassphrase) as fault:
        raise type(fault)(f"{path}: {fault}") from fault
