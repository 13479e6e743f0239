"""Where a backup target is, as configured. Apart from the targets: settings are read without their libraries."""

from dataclasses import dataclass, field
from pathlib import Path

from icn.protocol.backoff import RetrySettings
from icn.protocol.breaker import BreakerSettings


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where the bucket is, and as whom we go there."""

    bucket: str
    prefix: str
    """What the names begin with, without a slash at either end; may be empty."""
    endpoint: str | None = None
    """`https://…` of a service other than Amazon's. With `http://` nothing on the way is secret."""
    region: str | None = None
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    path_style: bool = True
    """Whether the bucket stands in the path rather than in the host name."""
    ca_certificate: bytes | None = field(default=None, repr=False)
    """PEM; trusted besides the usual authorities."""
    retry: RetrySettings = field(default_factory=RetrySettings)
    """Of one request."""
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    """Of the whole service."""


TargetSettings = Path | S3Settings
"""A folder, or a bucket."""
