"""What tests of several packages need."""

import pytest

from icn.adapters.archive import age


@pytest.fixture
def cheap_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives that this process encrypts under a passphrase are opened at once, by any process.

    A second of work for whoever guesses is what tests of anything else would spend most of their time with.
    """
    monkeypatch.setattr(age, "SCRYPT_LOG_N", 4)
