"""The identity key's file: created once, kept private, opened only with its passphrase."""

import os
import stat
import threading

import pytest

from icn.adapters.keys.file import (
    CREATING_BYTES,
    SEALING_BYTES,
    Argon2Cost,
    KeyFileDamaged,
    KeyFileExists,
    KeyFileExposed,
    KeyFileMissing,
    KeyFileUnavailable,
    PassphraseNeeded,
    WrongPassphrase,
    create_key,
    did_in,
    load_key,
    reseal_key,
)
from icn.kernel.signing import SeedSigner, verify

ENTROPY = bytes(range(CREATING_BYTES))
SEED = ENTROPY[:32]
CHEAP = Argon2Cost(memory_kib=32, iterations=1, lanes=1)


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys" / "node.key"


@pytest.mark.parametrize("passphrase", [None, "passphrase", "", "пароль 🔑"])
def test_a_created_key_is_the_same_when_loaded(path, passphrase):
    created = create_key(path, ENTROPY, passphrase=passphrase, cost=CHEAP)
    loaded = load_key(path, passphrase=passphrase)
    assert created.did == loaded.did == SeedSigner(SEED).did
    assert verify(created.did, b"icn/block/1", b"message", loaded.sign(b"icn/block/1", b"message"))


def test_the_file_and_its_folder_are_for_the_owner_only_whatever_the_umask(path):
    before = os.umask(0)
    try:
        create_key(path, ENTROPY, passphrase=None)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert names_in(path.parent) == ["node.key"]


def test_an_encrypted_file_does_not_contain_the_seed_nor_does_the_signer_show_it(path):
    signer = create_key(path, ENTROPY, passphrase="passphrase", cost=CHEAP)
    assert SEED not in path.read_bytes()
    assert SEED.hex() not in repr(signer) + str(signer)
    assert repr(SEED) not in repr(signer) + str(vars(signer))


def test_a_key_is_never_overwritten(path):
    create_key(path, ENTROPY, passphrase=None)
    before = path.read_bytes()
    with pytest.raises(KeyFileExists):
        create_key(path, ENTROPY[::-1], passphrase=None)
    assert path.read_bytes() == before
    assert names_in(path.parent) == ["node.key"]


def test_of_many_creators_at_once_one_wins_and_the_file_is_its_own(path):
    results = []

    def create(number):
        try:
            results.append(create_key(path, bytes((number,)) * CREATING_BYTES, passphrase=None).did)
        except KeyFileExists:
            results.append(None)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [did for did in results if did]
    assert len(results) == 8
    assert winners == [load_key(path, passphrase=None).did]


def test_a_key_that_cannot_be_written_is_a_fault(path):
    path.parent.parent.joinpath("keys").write_text("a file where the folder should be")
    with pytest.raises(KeyFileUnavailable):
        create_key(path, ENTROPY, passphrase=None)


def test_a_missing_key_is_its_own_fault(path):
    with pytest.raises(KeyFileMissing, match=r"node\.key"):
        load_key(path, passphrase=None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_open_to_others_is_refused_outside_development(path, mode):
    create_key(path, ENTROPY, passphrase=None)
    path.chmod(mode)
    with pytest.raises(KeyFileExposed, match="chmod 600"):
        load_key(path, passphrase=None)
    assert load_key(path, passphrase=None, may_be_exposed=True).did == SeedSigner(SEED).did


def test_what_is_not_a_file_is_refused_without_waiting(path, tmp_path):
    with pytest.raises(KeyFileUnavailable):
        load_key(tmp_path, passphrase=None)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(KeyFileUnavailable):
        load_key(pipe, passphrase=None)


def test_passphrases_missing_and_wrong_are_told_apart_and_name_the_file(path):
    create_key(path, ENTROPY, passphrase="right", cost=CHEAP)
    with pytest.raises(PassphraseNeeded, match=r"node\.key"):
        load_key(path, passphrase=None)
    for wrong in ("wrong", "", "right ", "Right"):
        with pytest.raises(WrongPassphrase, match=r"node\.key"):
            load_key(path, passphrase=wrong)


def test_a_file_too_large_is_not_read(path):
    create_key(path, ENTROPY, passphrase=None)
    path.write_bytes(bytes(10_000_000))
    with pytest.raises(KeyFileDamaged):
        load_key(path, passphrase=None)


@pytest.mark.parametrize(("old", "new"), [(None, "new"), ("old", "new"), ("old", None)])
def test_resealing_keeps_the_identity_and_changes_the_passphrase(path, old, new):
    create_key(path, ENTROPY, passphrase=old, cost=CHEAP)
    path.chmod(0o644)
    signer = reseal_key(path, bytes(SEALING_BYTES), passphrase=old, new_passphrase=new, cost=CHEAP)
    assert signer.did == load_key(path, passphrase=new).did == SeedSigner(SEED).did
    if new:
        with pytest.raises((PassphraseNeeded, WrongPassphrase)):
            load_key(path, passphrase=old)


def test_resealing_with_the_wrong_passphrase_leaves_the_file_alone(path):
    create_key(path, ENTROPY, passphrase="old", cost=CHEAP)
    before = path.read_bytes()
    with pytest.raises(WrongPassphrase):
        reseal_key(path, bytes(SEALING_BYTES), passphrase="typo", new_passphrase=None, cost=CHEAP)
    assert path.read_bytes() == before


@pytest.mark.parametrize("passphrase", [None, "passphrase"])
def test_whose_key_a_file_holds_is_known_without_the_passphrase(path, passphrase):
    signer = create_key(path, ENTROPY, passphrase=passphrase, cost=CHEAP)
    path.chmod(0o644)
    assert did_in(path) == signer.did


def test_a_file_of_the_older_layout_does_not_say_whose_it_is(path):
    path.parent.mkdir()
    path.write_bytes(bytes(76))
    assert did_in(path) is None


@pytest.mark.parametrize("content", [b"", b"something else", b"icn-key\n", b"icn-key\n\x09" + bytes(65)])
def test_what_is_no_key_file_says_nothing(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(KeyFileDamaged, match=r"node\.key"):
        did_in(path)
    with pytest.raises(KeyFileMissing):
        did_in(path.with_name("none"))
