"""Archives in a bucket of Amazon S3, or of anything that speaks as S3 does.

An object appears when its upload is complete, and not before. Long archives go up in parts, a few at a time, so memory
is bounded by `PARTS_AT_ONCE` parts, however long the archive. They come down in ranges, so that every single request is
short enough to be bounded in time. A part that fails is repeated by the client library; an upload that is given up is
aborted. A service that keeps failing is left alone behind a circuit breaker: until its next trial every call fails at
once. Parts of an upload that died with its process are invisible, and cost until the bucket's lifecycle rule
removes them: no method of ours can see them (docs/operating/scheduled-backups.md).

Credentials that are not configured are looked for as AWS's own tools do: in the `AWS_…` variables, then at the machine
that we run on. Not here: names of archives, what is kept how long.
"""

import os
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import BinaryIO

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from icn.adapters.backup.ports import (
    READ_BYTES,
    ArchiveMissing,
    Stored,
    TargetDenied,
    TargetMissing,
    TargetUnavailable,
    check_name,
    is_name,
)
from icn.adapters.backup.settings import S3Settings
from icn.adapters.clock import monotonic_ms
from icn.kernel.errors import Fault
from icn.kernel.instant import Instant
from icn.kernel.limits import MIB
from icn.protocol.breaker import Breaker

PART_BYTES_MIN = 8 * MIB
PARTS_MAX = 9_000
"""S3 takes 10 000 parts. Longer archives go up in larger parts."""
PARTS_AT_ONCE = 2
CONNECT_SECS_MAX = 10
REQUEST_SECS_MAX = 120
"""For one part or range: 70 kB/s suffice."""
RETRY_SECS_MAX = 90
"""From a request's first attempt; none begins after it."""
OBJECTS_LISTED_MAX = 100_000
_CAUSE_CHARS_MAX = 300
_DENIED = re.compile(r"status code: 40[13]\b|<Code>(AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch)</Code>")


class S3Target:
    """A bucket, or what is below a prefix in one. Satisfies `ports.BackupTarget`."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self.breaker = Breaker(settings.breaker)
        """What keeps us from asking a service that is down."""
        certificate = settings.ca_certificate
        self._store = S3Store(
            settings.bucket,
            prefix=settings.prefix or None,
            client_options={
                "connect_timeout": timedelta(seconds=CONNECT_SECS_MAX),
                "timeout": timedelta(seconds=REQUEST_SECS_MAX),
                "allow_http": (settings.endpoint or "").startswith("http://"),
                **({} if certificate is None else {"root_certificate": certificate}),
            },
            retry_config={
                "max_retries": settings.retry.attempts_max - 1,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=settings.retry.initial_delay_ms),
                    "max_backoff": timedelta(milliseconds=settings.retry.delay_ms_max),
                    "base": 2,
                },
                "retry_timeout": timedelta(seconds=RETRY_SECS_MAX),
            },
            config={
                "virtual_hosted_style_request": not settings.path_style,
                **({} if settings.endpoint is None else {"endpoint": settings.endpoint}),
                **({} if settings.region is None else {"region": settings.region}),
                **({} if settings.access_key_id is None else {"access_key_id": settings.access_key_id}),
                **({} if settings.secret_access_key is None else {"secret_access_key": settings.secret_access_key}),
            },
        )

    @property
    def place(self) -> str:
        """The bucket and prefix as a URL."""
        return f"s3://{self._settings.bucket}/{self._settings.prefix}".rstrip("/")

    def require(self) -> None:
        """Nothing to be looked at: no bucket is ever made here."""

    def put(self, name: str, source: BinaryIO) -> None:
        """See the port."""
        check_name(name)
        begin = source.tell()
        size = source.seek(0, os.SEEK_END) - begin
        source.seek(begin)
        part = max(PART_BYTES_MIN, -(-size // PARTS_MAX))
        with self._ours():
            if size <= part:
                obstore.put(self._store, name, source.read(), use_multipart=False)
            else:
                pieces = iter(lambda: source.read(READ_BYTES), b"")
                obstore.put(self._store, name, pieces, chunk_size=part, max_concurrency=PARTS_AT_ONCE)
            there = obstore.head(self._store, name)["size"]
        if there != size:
            raise TargetUnavailable(f"{self.place} says that {name} has {there} bytes, and {size} were sent")

    def stored(self) -> list[Stored]:
        """See the port."""
        found: list[Stored] = []
        listed = 0
        with self._ours():
            for page in obstore.list(self._store):
                listed += len(page)
                if listed > OBJECTS_LISTED_MAX:
                    raise TargetDenied(
                        f"{self.place} holds more than {OBJECTS_LISTED_MAX} objects: give backups a prefix of their own"
                    )
                found += [
                    Stored(meta["path"], meta["size"], Instant(int(meta["last_modified"].timestamp()) * 1000))
                    for meta in page
                    if is_name(meta["path"])
                ]
        return sorted(found, key=lambda stored: stored.name)

    def read(self, name: str) -> Generator[bytes, None, None]:
        """See the port."""
        check_name(name)
        with self._ours(name):
            size = obstore.head(self._store, name)["size"]
        for start in range(0, size, READ_BYTES):
            with self._ours(name):
                piece = bytes(obstore.get_range(self._store, name, start=start, end=min(size, start + READ_BYTES)))
            yield piece

    def delete(self, name: str) -> None:
        """See the port."""
        check_name(name)
        with self._ours():
            obstore.delete(self._store, name)

    def clear_unfinished(self, beginning: str) -> int:
        """Nothing that we can see: see the module's docstring."""
        check_name(beginning)
        return 0

    @contextmanager
    def _ours(self, name: str | None = None) -> Iterator[None]:
        """The client library's errors, said in our words. `name`: the archive that is to be there."""
        if not self.breaker.admit(monotonic_ms()):
            raise TargetUnavailable(
                f"{self.place} failed {self.breaker.failures} times in a row and is left alone for "
                f"{self._settings.breaker.open_timeout_ms // 1000} s at a time: look at backup.s3_endpoint, the "
                "network and the service"
            )
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            fault = self._fault(error, name)
            if isinstance(fault, TargetUnavailable):
                self.breaker.failed(monotonic_ms())
            else:
                self.breaker.succeeded()  # it answers, if not as we would like
            raise fault from error
        except BaseException:
            self.breaker.answered()  # given up by us: that says nothing of the service
            raise
        self.breaker.succeeded()

    def _fault(self, error: Exception, name: str | None) -> Fault:
        text = str(error)
        if "NoSuchBucket" in text:
            return TargetMissing(
                f"the bucket {self._settings.bucket} does not exist: create it, or correct backup.target and "
                "backup.s3_region"
            )
        # Of a listing the library says only in words what went wrong.
        if isinstance(error, PermissionDeniedError | UnauthenticatedError) or _DENIED.search(text):
            return TargetDenied(
                f"{self.place} refuses the credentials ({_reason(text)}): the key must be right and may list, read, "
                "write and delete objects there"
            )
        if isinstance(error, FileNotFoundError) and name is not None:
            return ArchiveMissing(f"there is no archive {name} at {self.place}: backup list shows what is there")
        return TargetUnavailable(
            f"{self.place} cannot be reached or failed ({_reason(text)}): look at backup.s3_endpoint, the network and "
            "the service"
        )


def _reason(text: str) -> str:
    """The first line of a library's message, without the debug source that it appends."""
    return text.partition("\n")[0].partition(": <?xml")[0][:_CAUSE_CHARS_MAX]
