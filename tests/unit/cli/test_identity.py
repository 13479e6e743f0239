"""`identity`: key files, without a node and without ever showing or losing a key."""

import json

import pytest

from icn.adapters.keys.file import load_key
from icn.cli.endings import Exit
from icn.kernel.ids import Did, PeerId

PASSPHRASE = "three loaves of bread"


@pytest.fixture
def key(tmp_path):
    return tmp_path / "node.key"


@pytest.fixture
def made(alone, key):
    """A plain key."""
    assert alone("identity", "create", key).status is Exit.DONE
    return key


def test_a_new_key_is_whole_private_and_named(alone, key):
    ran = alone("identity", "create", key, "--output", "json")
    assert ran.status is Exit.DONE
    did = Did.parse(ran.json["did"])
    assert ran.json == {"file": str(key), "did": str(did), "peer_id": str(PeerId.of(did)), "encrypted": False}
    assert key.stat().st_mode & 0o777 == 0o600
    assert load_key(key, passphrase=None).did == did
    assert "warning: the key is not encrypted" in ran.err


@pytest.mark.slow
def test_a_new_key_is_encrypted_when_there_is_a_passphrase(alone, key):
    alone.environ["ICN_KEY_PASSPHRASE"] = PASSPHRASE
    ran = alone("identity", "create", key, "--output", "json")
    assert ran.json["encrypted"] is True
    assert ran.err == ""
    assert load_key(key, passphrase=PASSPHRASE).did.text == ran.json["did"]
    assert PASSPHRASE not in ran.text
    del alone.environ["ICN_KEY_PASSPHRASE"]
    refused = alone("identity", "show", key)
    assert refused.status is Exit.NOT_AUTHORISED
    assert "ICN_KEY_PASSPHRASE" in refused.err


def test_an_existing_file_is_never_overwritten(alone, made):
    before = made.read_bytes()
    ran = alone("identity", "create", made)
    assert (ran.status, ran.out) == (Exit.REFUSED, b"")
    assert "(key.exists)" in ran.err
    assert made.read_bytes() == before


def test_show_names_the_key_and_needs_no_node_or_key_of_its_api(alone, made):
    alone.environ = {"ICN_NODE_URL": "nonsense", "ICN_API_KEY_FILE": "/nonexistent"}
    ran = alone("identity", "show", made)
    assert ran.status is Exit.DONE
    assert load_key(made, passphrase=None).did.text in ran.text


def test_nothing_of_the_seed_is_ever_printed(alone, made):
    content = made.read_bytes()
    seed = content[-32:].hex()
    for verb in ("show", "verify"):
        for output in ("table", "json"):
            ran = alone("identity", verb, made, "--output", output)
            assert seed not in ran.text + ran.err


@pytest.mark.slow
def test_encrypting_keeps_the_identity_and_mends_the_mode(alone, made):
    did = load_key(made, passphrase=None).did
    made.chmod(0o644)
    exposed = alone("identity", "show", made)
    assert exposed.status is Exit.REFUSED
    assert "chmod 600" in exposed.err
    alone.environ["BREAD"] = PASSPHRASE
    ran = alone("identity", "encrypt", made, "--passphrase-env", "BREAD", "--output", "json")
    assert (ran.status, ran.json["did"], ran.json["encrypted"]) == (Exit.DONE, did.text, True)
    assert made.stat().st_mode & 0o777 == 0o600
    assert load_key(made, passphrase=PASSPHRASE).did == did


def test_encrypting_needs_a_passphrase(alone, made):
    before = made.read_bytes()
    for options in ([], ["--passphrase-env", "ABSENT"]):
        ran = alone("identity", "encrypt", made, *options)
        assert ran.status is Exit.CONFIGURATION
        assert "_FILE" in ran.err
    assert made.read_bytes() == before


def test_a_passphrase_that_was_named_must_be_there(alone, made, key):
    assert alone("identity", "create", key.with_name("b"), "--passphrase-env", "ABSENT").status is Exit.CONFIGURATION
    assert not key.with_name("b").exists()


@pytest.mark.slow
def test_the_passphrase_is_changed_by_whoever_knows_it(alone, key, tmp_path):
    (tmp_path / "old").write_text(PASSPHRASE + "\n")
    (tmp_path / "new").write_text("rye\n")
    alone.environ |= {"ICN_KEY_PASSPHRASE_FILE": str(tmp_path / "old")}
    alone("identity", "create", key)
    assert alone("identity", "passphrase", key).status is Exit.CONFIGURATION, "there is no new one"
    alone.environ["ICN_CLI_NEW_PASSPHRASE_FILE"] = str(tmp_path / "new")
    assert alone("identity", "passphrase", key).status is Exit.DONE
    load_key(key, passphrase="rye")
    before = key.read_bytes()
    wrong = alone("identity", "passphrase", key)
    assert wrong.status is Exit.NOT_AUTHORISED
    assert "(key.wrong_passphrase)" in wrong.err
    assert PASSPHRASE not in wrong.err
    assert key.read_bytes() == before


def test_verify_signs_and_compares(alone, made):
    did = load_key(made, passphrase=None).did
    ran = alone("identity", "verify", made, "--did", did, "--output", "json")
    assert (ran.status, ran.json["signs"]) == (Exit.DONE, True)
    other = Did.from_public_key(bytes(range(32)))
    assert alone("identity", "verify", made, "--did", other).status is Exit.NOT_FOUND_OR_UNVERIFIED


def test_a_damaged_or_absent_file_is_unverified(alone, made):
    content = bytearray(made.read_bytes())
    content[-1] ^= 1
    made.write_bytes(content)
    assert alone("identity", "verify", made).status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert alone("identity", "verify", made.with_name("absent")).status is Exit.NOT_FOUND_OR_UNVERIFIED


def test_a_folder_in_the_way_is_a_fault(alone, tmp_path):
    ran = alone("identity", "show", tmp_path)
    assert ran.status is Exit.FAULT
    assert json.dumps(str(tmp_path))[1:-1] in ran.err
