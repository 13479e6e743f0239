"""Keys of archives, and the bounds of their files."""

from dataclasses import dataclass, field

RATIO_MAX = 200
"""Bytes that a byte of a compressed archive may stand for. What would compress better is stored as it is."""
SYNC_BYTES = 128 * 1024 * 1024
"""After so many written the disk is made to have them: what a backup that is gone on with need not do again."""
PARTIAL_SUFFIX = ".partial"
"""Behind the name of an archive that is being written."""
PARTS_SUFFIX = ".partial.parts"
"""Behind the name, where it is noted which parts are written."""


@dataclass(frozen=True, slots=True)
class Encryption:
    """To whom an archive is encrypted: one of the two."""

    recipients: tuple[str, ...] = ()
    passphrase: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """What opens an encrypted archive: one of the two."""

    identities: tuple[str, ...] = field(default=(), repr=False)
    passphrase: str | None = field(default=None, repr=False)
