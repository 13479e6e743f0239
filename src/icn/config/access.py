"""The sections `[identity]` and `[security]`: the node's own key, and the key of those who may use its API."""

from pathlib import Path
from typing import Annotated

from icn.config.section import Section, Setting, as_path, as_secret, as_variable_name, from_text
from icn.config.values import Secret
from icn.kernel.ids import Did


class IdentitySettings(Section):
    """The node's key (semantics §1)."""

    key_path: Annotated[Path, from_text(as_path), Setting("The key file.", in_data_dir="identity.key")]
    key_passphrase: Annotated[
        Secret | None,
        from_text(as_secret),
        Setting(
            "Encrypts the key file. Better given by variable or file.", from_variable="identity.key_passphrase_env"
        ),
    ] = None
    key_passphrase_env: Annotated[
        str, from_text(as_variable_name), Setting("The variable that holds the passphrase.")
    ] = "ICN_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable
    generate_new_key: Annotated[bool, Setting("Create the key when the file does not exist.")] = True
    node_did: Annotated[
        Did | None, from_text(Did.parse), Setting("The DID this node must have; another key stops the start.")
    ] = None


class SecuritySettings(Section):
    """Who may use the API."""

    api_key: Annotated[
        Secret | None,
        from_text(as_secret),
        Setting("The operator's key. Better given by variable or file.", from_variable="security.api_key_env"),
    ] = None
    api_key_env: Annotated[
        str, from_text(as_variable_name), Setting("The variable that holds the operator's key.", must_be_set=True)
    ] = "ICN_API_KEY"
    require_auth: Annotated[bool, Setting("Whether requests must bear a key.")] = True
