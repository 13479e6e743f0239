"""`identity`: key files, without a running node (semantics §1). Passphrases come from variables, never from arguments.

A key is never printed and never overwritten; what is written is opened again before anything is called done.
"""

import argparse
from pathlib import Path

from icn.adapters.keys.file import (
    CREATING_BYTES,
    SEALING_BYTES,
    KeyFileDamaged,
    KeyFileExists,
    KeyFileExposed,
    KeyFileMissing,
    PassphraseNeeded,
    WrongPassphrase,
    create_key,
    load_key,
    reseal_key,
)
from icn.cli.arguments import Action, argument, did
from icn.cli.endings import Ended, Exit
from icn.cli.session import Session
from icn.config.secrets import Variables
from icn.config.sources import Unusable
from icn.kernel.errors import Fault
from icn.kernel.ids import Did, PeerId
from icn.kernel.signing import Signer, verify_raw

PASSPHRASE_VARIABLE = "ICN_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable
NEW_PASSPHRASE_VARIABLE = "ICN_CLI_NEW_PASSPHRASE"  # noqa: S105 - the name of a variable
_TRIAL = b"icn/trial/1"
"""Tag of the signature that shows a key signs; no protocol accepts it."""

_ENDINGS: dict[type[Fault], tuple[Exit, str]] = {
    KeyFileMissing: (Exit.NOT_FOUND_OR_UNVERIFIED, "Make one with icn-cli identity create."),
    KeyFileDamaged: (Exit.NOT_FOUND_OR_UNVERIFIED, "Restore it from a backup."),
    KeyFileExists: (Exit.REFUSED, ""),
    KeyFileExposed: (Exit.REFUSED, ""),
    PassphraseNeeded: (Exit.NOT_AUTHORISED, f"Set {PASSPHRASE_VARIABLE}, or name a variable with --passphrase-env."),
    WrongPassphrase: (Exit.NOT_AUTHORISED, ""),
}


def create(session: Session, given: argparse.Namespace) -> Exit:
    """Make a key, encrypted when there is a passphrase."""
    path, passphrase = Path(given.file), _passphrase(session, given)
    with _Telling():
        signer = create_key(path, session.world.random(CREATING_BYTES), passphrase=passphrase)
        return _written(session, path, passphrase, signer)


def show(session: Session, given: argparse.Namespace) -> Exit:
    """The names that follow from the key."""
    path, passphrase = Path(given.file), _passphrase(session, given)
    with _Telling():
        signer = load_key(path, passphrase=passphrase)
    session.show_own({"file": str(path), **_names(signer.did)})
    return Exit.DONE


def encrypt(session: Session, given: argparse.Namespace) -> Exit:
    """Seal a plain key. Sealing one that this passphrase opens already writes it in the current layout."""
    path, passphrase = Path(given.file), _required(session, given, "passphrase_env", PASSPHRASE_VARIABLE)
    with _Telling():
        signer = reseal_key(path, session.world.random(SEALING_BYTES), passphrase=passphrase, new_passphrase=passphrase)
        return _written(session, path, passphrase, signer)


def passphrase(session: Session, given: argparse.Namespace) -> Exit:
    """Seal under another passphrase."""
    path, old = Path(given.file), _passphrase(session, given)
    new = _required(session, given, "new_passphrase_env", NEW_PASSPHRASE_VARIABLE)
    with _Telling():
        signer = reseal_key(path, session.world.random(SEALING_BYTES), passphrase=old, new_passphrase=new)
        return _written(session, path, new, signer)


def verify(session: Session, given: argparse.Namespace) -> Exit:
    """Open it as a node would, sign, and verify the signature with nothing but the DID."""
    path, passphrase = Path(given.file), _passphrase(session, given)
    with _Telling():
        signer = load_key(path, passphrase=passphrase)
    message = session.world.random(32)
    signs = verify_raw(signer.did.public_key, _TRIAL + message, signer.sign(_TRIAL, message))
    expected: Did | None = getattr(given, "did", None)
    session.show_own({"file": str(path), **_names(signer.did), "signs": signs})
    if expected is not None and expected != signer.did:
        raise Ended(
            Exit.NOT_FOUND_OR_UNVERIFIED, f"the key in {path} is not that of {expected}", code="cli.another_key"
        )
    return Exit.DONE if signs else Exit.NOT_FOUND_OR_UNVERIFIED


class _Telling:
    """Gives a key file's fault its exit status and what to do about it."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Fault) and type(error) in _ENDINGS:
            status, next_step = _ENDINGS[type(error)]
            raise Ended(status, str(error), code=error.code, next_step=next_step) from error


def _written(session: Session, path: Path, passphrase: str | None, signer: Signer) -> Exit:
    """Report a key that was written, after opening the file again."""
    opened = load_key(path, passphrase=passphrase)
    if opened.did != signer.did:
        raise KeyFileDamaged(f"{path}: what was read back is another key")
    session.show_own({"file": str(path), **_names(opened.did), "encrypted": passphrase is not None})
    if passphrase is None:
        session.world.say(
            f"warning: the key is not encrypted, as {PASSPHRASE_VARIABLE} is not set; identity encrypt does it"
        )
    return Exit.DONE


def _names(named: Did) -> dict[str, str]:
    return {"did": str(named), "peer_id": str(PeerId.of(named))}


def _passphrase(session: Session, given: argparse.Namespace) -> str | None:
    """The passphrase if there is one; a variable that was named on the command line must be there."""
    if hasattr(given, "passphrase_env"):
        return _required(session, given, "passphrase_env", PASSPHRASE_VARIABLE)
    return _found(session, PASSPHRASE_VARIABLE)


def _required(session: Session, given: argparse.Namespace, option: str, default: str) -> str:
    name = getattr(given, option, default)
    found = _found(session, name)
    if found is None:
        raise Ended(
            Exit.CONFIGURATION,
            f"there is no passphrase: neither {name} nor {name}_FILE is set",
            code="cli.no_passphrase",
            next_step=f"Set one, or name another variable with --{option.replace('_', '-')}.",
        )
    return found


def _found(session: Session, name: str) -> str | None:
    try:
        found = Variables(session.world.environ()).find(name)
    except Unusable as error:
        raise Ended(Exit.CONFIGURATION, ", ".join(("passphrase", *error.causes)) + f": {error.what}") from error
    return found.text if found is not None and found.text else None


_FILE = argument("file", metavar="FILE", help="the key file")
_PASSPHRASE = argument(
    "--passphrase-env",
    metavar="NAME",
    help=f"variable with the passphrase, or NAME_FILE with its file; default {PASSPHRASE_VARIABLE}",
)

ACTIONS = {
    "create": Action(create, (_FILE, _PASSPHRASE)),
    "show": Action(show, (_FILE, _PASSPHRASE)),
    "encrypt": Action(encrypt, (_FILE, _PASSPHRASE)),
    "passphrase": Action(
        passphrase,
        (
            _FILE,
            _PASSPHRASE,
            argument(
                "--new-passphrase-env",
                metavar="NAME",
                help=f"variable with the new one, or NAME_FILE; default {NEW_PASSPHRASE_VARIABLE}",
            ),
        ),
    ),
    "verify": Action(
        verify, (_FILE, _PASSPHRASE, argument("--did", metavar="DID", type=did, help="the key must be this one's"))
    ),
}
