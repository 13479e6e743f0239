"""What the witness says comes back as it was, or not at all."""

import os
import stat

from icn.adapters.storage.witness import Claim, Witness, read

LOG = b"12345678"


def test_the_newest_claim_is_read_back_and_outlives_being_opened_again(tmp_path):
    path = tmp_path / "witness"
    witness = Witness.open(path)
    assert read(path) is None
    witness.claim(LOG, 7)
    witness.claim(LOG, 2**40)
    witness.close()
    Witness.open(path).close()
    assert read(path) == Claim(LOG, 2**40)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_missing_or_damaged_witness_says_nothing(tmp_path):
    path = tmp_path / "witness"
    assert read(path) is None
    witness = Witness.open(path)
    witness.claim(LOG, 7)
    witness.close()
    sound = path.read_bytes()
    for place in range(len(sound)):
        for bit in range(8):
            damaged = bytearray(sound)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            assert read(path) is None
    for damaged in (sound[:-1], sound + b"\x00", b"", bytes(len(sound))):
        path.write_bytes(damaged)
        assert read(path) is None


def test_a_claim_that_cannot_be_written_leaves_the_one_before(tmp_path):
    path = tmp_path / "witness"
    witness = Witness.open(path)
    witness.claim(LOG, 7)
    witness.close()
    refusing = Witness(os.open(path, os.O_RDONLY))
    refusing.claim(LOG, 8)
    refusing.close()
    assert read(path) == Claim(LOG, 7)
