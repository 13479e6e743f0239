"""Files of the age project's test kit (CCTV): what must open opens to the right bytes, what must not is refused.

Left out: armored files and post-quantum recipients, which our archives do not have; those must be refused all the same.
"""

import hashlib
import io
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from icn.adapters.archive.age import NotDecrypted, decrypting
from icn.kernel.errors import Invalid
from support.vectors import vector_path

FAILURES = {"header failure", "HMAC failure", "no match", "payload failure", "armor failure"}


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    expect: str
    payload: str
    identities: tuple[str, ...]
    passphrases: tuple[str, ...]
    is_armored: bool
    file: bytes = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> "Case":
        fields: dict[str, list[str]] = {}
        data = path.read_bytes()
        while True:
            line, _, data = data.partition(b"\n")
            if not line:
                break
            name, _, value = line.decode().partition(": ")
            fields.setdefault(name, []).append(value)
        if fields.get("compressed") == ["zlib"]:
            data = zlib.decompress(data)
        return cls(
            name=path.name,
            expect=fields["expect"][0],
            payload=fields.get("payload", [""])[0],
            identities=tuple(fields.get("identity", ())),
            passphrases=tuple(fields.get("passphrase", ())),
            is_armored=fields.get("armored") == ["yes"],
            file=data,
        )

    @property
    def is_ours(self) -> bool:
        """Whether it is of a kind that we claim to read."""
        return not self.is_armored and "hybrid" not in self.name and not any("PQ" in one for one in self.identities)


def opened(case: Case) -> bytes:
    """The plaintext, with the first key that opens the file. Raises as `decrypting` does."""
    keys: list[tuple[tuple[str, ...], str | None]] = [((), phrase) for phrase in case.passphrases or ("any",)]
    if case.identities:
        keys = [(case.identities, None)]
    failure: Exception | None = None
    for identities, passphrase in keys:
        try:
            with decrypting(io.BytesIO(case.file), identities, passphrase=passphrase) as plain:
                return plain.read()
        except (NotDecrypted, Invalid) as error:
            failure = error
    assert failure is not None
    raise failure


def cases() -> list[Case]:
    return [Case.read(path) for path in sorted(vector_path("crypto/age-testkit").iterdir())]


def test_the_kit_is_whole() -> None:
    found = cases()
    assert len(found) == 143
    assert {case.expect for case in found} == FAILURES | {"success"}
    assert sum(case.is_ours for case in found) > 80


def test_what_must_open_opens_to_the_right_bytes() -> None:
    wrong = []
    for case in cases():
        if case.is_ours and case.expect == "success":
            try:
                if hashlib.sha256(opened(case)).hexdigest() != case.payload:
                    wrong.append((case.name, "other bytes"))
            except (NotDecrypted, Invalid) as error:
                wrong.append((case.name, str(error)))
    assert wrong == []


def test_what_must_not_open_is_refused() -> None:
    wrong = []
    for case in cases():
        if case.expect != "success" or not case.is_ours:
            try:
                plain = opened(case)
            except (NotDecrypted, Invalid):
                continue
            wrong.append((case.name, case.expect, len(plain)))
    assert wrong == []
