"""What every test of archives leaves behind: no process."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    begun = []
    fork = os.fork

    def noting() -> int:
        begun.append(fork())
        return begun[-1]

    monkeypatch.setattr(os, "fork", noting)
    yield
    for pid in begun:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
