"""The layouts of key files: the old one read, the new one authenticated to the last byte, no cost taken on trust."""

import struct

import pytest

from icn.adapters.keys.sealing import (
    SEALING_BYTES,
    Argon2Cost,
    KeyFileDamaged,
    PassphraseNeeded,
    WrongPassphrase,
    _argon2id,
    _opened,
    plain,
    seal,
    unseal,
)
from support.vectors import vector_json, vector_text

SEED = bytes(range(100, 132))
CHEAP = Argon2Cost(memory_kib=32, iterations=1, lanes=1)
SEALED = seal(SEED, "passphrase", bytes(SEALING_BYTES), CHEAP)
COST_AT = 8 + 2 + 32

OLDER = bytes.fromhex(
    "000102030405060708090a0b0c0d0e0f000102030405060708090a0b5fe8805152dbb12c94683e24c647c287"
    "dc44afefecbd1aafbe60baeeb70ed5d7cc3f87f9b51810792130f0480620f83e"
)
"""Semantics §1: the check value of the older layout."""


def test_the_older_layout_is_read():
    assert unseal(OLDER, "passphrase") == bytes(32)
    with pytest.raises(WrongPassphrase):
        unseal(OLDER, "Passphrase")
    with pytest.raises(PassphraseNeeded):
        unseal(OLDER, None)


def test_both_layouts_of_ours_give_the_seed_back():
    assert unseal(plain(SEED), None) == SEED
    assert unseal(plain(SEED), "not needed") == SEED
    assert unseal(SEALED, "passphrase") == SEED


@pytest.mark.parametrize("content", [plain(SEED), SEALED], ids=["plain", "encrypted"])
def test_no_changed_or_missing_byte_goes_unnoticed(content):
    for at in range(len(content)):
        with pytest.raises((KeyFileDamaged, WrongPassphrase)):
            unseal(content[:at] + bytes((content[at] ^ 1,)) + content[at + 1 :], "passphrase")
        with pytest.raises((KeyFileDamaged, WrongPassphrase)):
            unseal(content[:at], "passphrase")
    with pytest.raises(KeyFileDamaged):
        unseal(content + b"\x00", "passphrase")


@pytest.mark.parametrize(
    "cost",
    [(2**32 - 1, 1, 1), (32, 2**32 - 1, 1), (32, 1, 2**32 - 1), (0, 1, 1), (32, 0, 1), (32, 1, 0), (31, 1, 4)],
)
def test_a_hostile_cost_is_refused_before_anything_is_derived(cost):
    hostile = SEALED[:COST_AT] + struct.pack(">III", *cost) + SEALED[COST_AT + 12 :]
    with pytest.raises(KeyFileDamaged, match="out of bounds"):
        unseal(hostile, "passphrase")


def test_a_later_format_says_so():
    with pytest.raises(KeyFileDamaged, match="format 2"):
        unseal(SEALED[:8] + b"\x02" + SEALED[9:], "passphrase")


def test_the_default_cost_is_that_of_rfc_9106():
    assert Argon2Cost() == Argon2Cost(memory_kib=64 * 1024, iterations=3, lanes=4)


def test_argon2id_agrees_with_the_published_cases_our_parameters_can_express():
    cases = []
    for paragraph in vector_text("crypto/pyca/argon2id.txt").split("COUNT = ")[1:]:
        lines = [line.partition("=") for line in paragraph.splitlines() if "=" in line and not line.startswith("#")]
        cases.append({key.strip(): value.strip() for key, _, value in lines})
    checked = 0
    for case in cases:
        if "secret" in case or case["length"] != "32":
            continue
        cost = Argon2Cost(int(case["memcost"]), int(case["iter"]), int(case["lanes"]))
        derived = _argon2id(bytes.fromhex(case["pass"]).decode(), bytes.fromhex(case["salt"]), cost)
        assert derived.hex() == case["output"]
        checked += 1
    assert checked >= 2


def test_aes_256_gcm_agrees_with_the_published_cases():
    checked = 0
    for group in vector_json("crypto/wycheproof/aes_gcm_test.json")["testGroups"]:
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            continue
        for case in group["tests"]:
            key, nonce, header, message = (bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "msg"))
            sealed = bytes.fromhex(case["ct"] + case["tag"])
            checked += 1
            if case["result"] == "valid":
                assert _opened(key, nonce, sealed, header) == message
            else:
                with pytest.raises(WrongPassphrase):
                    _opened(key, nonce, sealed, header)
    assert checked >= 60
