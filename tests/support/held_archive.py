"""An archive in memory, to be changed part by part."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from icn.services.archive_check import Archive, Hashed, hashing_all
from icn.stores.archive import MANIFEST, Part, manifest_hash, with_checksum
from icn.stores.tar import Room


def sealed(fields: dict[str, Any]) -> bytes:
    """A manifest that says this, with the checksum of that: who makes things up knows how it is made."""
    said = {name: value for name, value in fields.items() if name != "checksum"}
    return with_checksum(json.dumps(said, indent=1).encode())


@dataclass(frozen=True)
class HeldArchive:
    """An archive in memory."""

    files: tuple[tuple[str, bytes], ...]
    claim: bytes | None = None
    """What it says of itself before it is read."""
    name: str = "held"

    @classmethod
    def of(cls, source: Archive) -> "HeldArchive":
        """A copy of it, which makes no claim."""
        return cls(tuple((part.name, data) for part, data in source.entries()))

    def telling(self) -> "HeldArchive":
        """The same, and it says beforehand what its manifest is."""
        return replace(self, claim=dict(self.files)[MANIFEST])

    def manifest(self) -> bytes | None:
        """See `Archive`."""
        return self.claim

    def entries(self, hashed: Hashed = hashing_all) -> Iterator[tuple[Part, bytes]]:
        """See `Archive`."""
        for name, data in self.files:
            yield Part(name, len(data), manifest_hash(data) if hashed(name) else ""), data

    def entries_in(self, room: Room, hashed: Hashed) -> Iterator[tuple[Part, bytes | memoryview]]:
        """See `Archive`."""
        for part, data in self.entries(hashed):
            if (place := room(part.name, part.size)) is not None:
                place[:] = data
            yield part, data if place is None else place

    def but(self, changed: dict[str, bytes]) -> "HeldArchive":
        """With these parts changed."""
        return HeldArchive(tuple((name, changed.get(name, data)) for name, data in self.files))

    def without(self, name: str) -> "HeldArchive":
        """Without this part."""
        return HeldArchive(tuple(file for file in self.files if file[0] != name))

    def claiming(self, **claims: Any) -> "HeldArchive":
        """The manifest fits the parts, and these claims are others."""
        parts = [(name, data) for name, data in self.files if name != MANIFEST]
        fields = json.loads(dict(self.files)[MANIFEST])
        fields["parts"] = [{"name": n, "size": len(d), "sha256": manifest_hash(d)} for n, d in parts]
        return HeldArchive((*parts, (MANIFEST, sealed({**fields, **claims}))))
