"""The decoders of files that somebody hands to an operator: backups and their encryption, modules of jobs."""

import gzip
import hashlib
import io
import tempfile
from functools import cache
from pathlib import Path

from wasmtime import Module, WasmtimeError

from fuzz.target import REFUSALS, Target
from icn.adapters.archive import tar_gz
from icn.adapters.archive.age import NotDecrypted, decrypting, encrypting
from icn.adapters.archive.age_keys import identity_key, identity_text, recipient_key, recipient_text
from icn.adapters.wasm.admission import admit
from icn.adapters.wasm.declarations import declarations_of
from icn.adapters.wasm.engine import build_engine
from icn.adapters.wasm.refusals import ModuleRefused
from icn.adapters.wasm.rewrite import rewrite
from icn.services.archive_check import Examination
from icn.stores import archive, archive_parts, tar
from icn.stores.archive import ArchiveNewer, Part
from support.archives import back_up, history
from support.wasm_guests import compiled, exiting, growing

IDENTITY = identity_text(b"i" * 32)


def read_manifest(data: bytes) -> None:
    """What was understood is written again, and then means the same."""
    manifest = archive.read_manifest(data)
    assert archive.read_manifest(archive.write_manifest(manifest)) == manifest


@cache
def backup() -> bytes:
    """A small one, unpacked."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "backup.tar.gz"
        back_up(history(contents_count=1)["a"].store, path)
        return gzip.decompress(path.read_bytes())


@cache
def entries() -> dict[str, bytes]:
    """The files of the backup, by name."""
    return dict(tar.read_entries(io.BytesIO(backup()).read, archive.size_max))


def read_lines(data: bytes) -> None:
    for read in (archive_parts.read_content_lines, archive_parts.read_local_lines):
        try:
            for _ in read(data):
                pass
        except REFUSALS:
            continue


def line_seeds() -> list[bytes]:
    own = [data for name, data in entries().items() if not name.endswith((".car", archive.MANIFEST))]
    return [*own, archive_parts.write_local_line("outbox_next", b"", b"12")]


def read_tar(data: bytes) -> None:
    """A whole backup, unpacked: entries, their order, and what each holds."""
    run = Examination()
    for name, content in tar.read_entries(io.BytesIO(data).read, archive.size_max):
        run.take(Part(name, len(content), hashlib.sha256(content).hexdigest()), content)
    run.end()


def tar_seeds() -> list[bytes]:
    last = {archive.MANIFEST: entries()[archive.MANIFEST]}
    small = {name: data for name, data in entries().items() if not name.startswith("blocks")}
    return [backup(), *(b"".join(map(entry, files.items())) + tar.END for files in (small, last))]


def entry(named: tuple[str, bytes]) -> bytes:
    name, data = named
    return tar.entry_head(name, len(data), 1) + data + tar.padding(len(data))


def read_tail(data: bytes) -> None:
    """The end of a compressed backup, in which the manifest is looked for. Whatever it is, looking ends."""
    tar_gz._last_manifest(data)


def tail_seeds() -> list[bytes]:
    return [gzip.compress(seed, mtime=0) for seed in tar_seeds()]


def read_age(data: bytes) -> None:
    with decrypting(io.BytesIO(data), [IDENTITY]) as plain:
        plain.read()


@cache
def age_seeds() -> tuple[bytes, ...]:
    seeds = []
    for content in (b"", b"secret"):
        sealed = io.BytesIO()
        with encrypting(sealed, [recipient_text(_public(b"i" * 32))]) as sink:
            sink.write(content)
        seeds.append(sealed.getvalue())
    return tuple(seeds)


def _public(private: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def read_age_key(data: bytes) -> None:
    """A key has one spelling."""
    text = data.decode("utf-8", "replace")
    try:
        assert recipient_text(recipient_key(text)).lower() == text.strip().lower()
    except REFUSALS:
        assert identity_text(identity_key(text)).lower() == text.strip().lower()


def age_key_seeds() -> list[bytes]:
    return [recipient_text(b"r" * 32).encode(), IDENTITY.encode(), IDENTITY.lower().encode()]


@cache
def engine():
    return build_engine()


def read_module(data: bytes) -> None:
    """What is valid stays valid when rewritten, and what is invalid is never rewritten."""
    declared = declarations_of(data)
    try:
        Module.validate(engine(), data)
    except WasmtimeError:
        admit(data)
        return
    changed = rewrite(data, declared).module
    Module.validate(engine(), changed)
    assert declarations_of(changed).imports == declared.imports
    admit(data)


@cache
def module_seeds() -> tuple[bytes, ...]:
    return (compiled(exiting(0)), compiled(growing(2, 1)), b"\0asm\1\0\0\0")


TARGETS = [
    Target("manifest", read_manifest, lambda: [entries()[archive.MANIFEST]], allowed=(*REFUSALS, ArchiveNewer)),
    Target("archive-lines", read_lines, line_seeds),
    Target("archive-tar", read_tar, tar_seeds, allowed=(*REFUSALS, ArchiveNewer), bytes_max=1 << 14),
    Target("archive-tail", read_tail, tail_seeds),
    Target("age", read_age, lambda: list(age_seeds()), allowed=(*REFUSALS, NotDecrypted)),
    Target("age-keys", read_age_key, age_key_seeds, bytes_max=200),
    Target("wasm", read_module, lambda: list(module_seeds()), allowed=(*REFUSALS, ModuleRefused)),
]
