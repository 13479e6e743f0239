"""The section `[backup]`: which archives the node makes by itself, where they go, who can read them."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from icn.adapters.archive.age_keys import identity_key, recipient_key
from icn.config.section import Section, Setting, as_path, as_secret, as_tuple, as_variable_name, from_text
from icn.config.values import BUCKET_SCHEME, Bucket, Secret

BACKUP_INTERVAL_SECS_MAX = 366 * 86_400
BACKUPS_MAX = 10_000


def _backup_target(text: str) -> Path | Bucket:
    return Bucket.parse(text) if text.startswith(BUCKET_SCHEME) else as_path(text)


def _age_recipient(text: str) -> str:
    recipient_key(text)
    return text


def _age_identities(text: str) -> Secret:
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ValueError("holds no age identity")
    for key in keys:
        identity_key(key)
    return Secret(text)


def _http_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^/\s?#@]+(/[^\s?#]*)?", text):
        raise ValueError("should begin with https:// and a host, as in https://s3.example.org")
    return text.rstrip("/")


class BackupSettings(Section):
    """Backups that the node makes by itself, and proves (docs/operating/scheduled-backups.md)."""

    enabled: Annotated[bool, Setting("Make backups by schedule.")] = False
    target: Annotated[
        Path | Bucket | None,
        from_text(_backup_target),
        Setting(
            "Where archives go: a folder on another disk, which is made where the one above it exists, or "
            "`s3://bucket/prefix`."
        ),
    ] = None
    interval_secs: Annotated[
        int,
        Field(ge=1, le=BACKUP_INTERVAL_SECS_MAX),
        Setting("From one backup that succeeded to the next. What was missed is made up for once.", unit="s"),
    ] = 86_400
    full_every: Annotated[
        int,
        Field(ge=1, le=BACKUPS_MAX),
        Setting("Each so-manieth backup is full; those between hold what has changed. 1: all are full."),
    ] = 7
    keep_last: Annotated[
        int,
        Field(ge=1, le=BACKUPS_MAX),
        Setting("The newest backups that are kept, however old; with what they go on from."),
    ] = 7
    keep_days: Annotated[
        int,
        Field(ge=0, le=36_500),
        Setting("Backups younger than this are kept, however many; with what they go on from.", unit="days"),
    ] = 30
    drill_interval_secs: Annotated[
        int,
        Field(ge=0, le=BACKUP_INTERVAL_SECS_MAX),
        Setting(
            "From one restore drill that succeeded to the next: the newest backup is fetched, restored aside and "
            "verified. 0: none by schedule.",
            unit="s",
        ),
    ] = 604_800
    encrypt_to: Annotated[
        tuple[Annotated[str, from_text(_age_recipient)], ...],
        BeforeValidator(as_tuple),
        Setting("Encrypt archives for these age recipients (`age1…`)."),
    ] = ()
    age_identity: Annotated[
        Secret | None,
        from_text(_age_identities),
        Setting("The `AGE-SECRET-KEY-1…` with which drills open what `encrypt_to` closed; best one made for drills."),
    ] = None
    passphrase: Annotated[
        Secret | None,
        from_text(as_secret),
        Setting("Encrypt archives with a passphrase instead.", from_variable="backup.passphrase_env"),
    ] = None
    passphrase_env: Annotated[str, from_text(as_variable_name), Setting("The variable that holds the passphrase.")] = (
        "ICN_BACKUP_PASSPHRASE"  # noqa: S105 - the name of a variable
    )
    s3_endpoint: Annotated[
        str | None,
        from_text(_http_url),
        Setting("The URL of an S3 service other than Amazon's."),
    ] = None
    s3_region: Annotated[str | None, Setting("The bucket's region; else `AWS_REGION`, else us-east-1.")] = None
    s3_access_key_id: Annotated[
        Secret | None,
        from_text(as_secret),
        Setting("Without it credentials are found as AWS's own tools find them: `AWS_ACCESS_KEY_ID` and so on."),
    ] = None
    s3_secret_access_key: Annotated[Secret | None, from_text(as_secret), Setting("The secret of that key.")] = None
    s3_path_style: Annotated[bool, Setting("The bucket stands in the path of a URL; false: in the host name.")] = True
    s3_ca_path: Annotated[
        Path | None,
        from_text(as_path),
        Setting("PEM certificates to trust besides the system's, for a private service."),
    ] = None
