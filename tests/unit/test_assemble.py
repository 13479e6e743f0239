"""What is put together is what was asked for, or nothing is."""

import importlib.util
from pathlib import Path

import pytest

from icn import assemble
from icn.config.load import load
from icn.config.loaded import LoadedConfig
from icn.kernel.errors import ConfigError
from icn.kernel.signing import SeedSigner

SIGNER = SeedSigner(bytes(32))
NAMES = {"CERT": "tls.crt", "KEY": "tls.key", "CA": "ca.crt"}


def cluster(folder: Path, **more: str) -> LoadedConfig:
    files = {f"ICN_EXECUTOR_RAY_TLS_{name}_PATH": str(folder / file) for name, file in NAMES.items()}
    environ = {
        "ICN_EXECUTOR_BACKEND": "ray",
        "ICN_EXECUTOR_RAY_ADDRESS": "10.0.0.1:6379",
        "ICN_EXECUTOR_RAY_TOKEN": "t" * 64,
    }
    return load(flags={}, config_path=None, environ=environ | files | more)


@pytest.fixture
def has_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found("icn" if name == "ray" else name))


def test_a_cluster_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(
        ConfigError, match=r"backend = ray needs a library that is not installed: pip install 'icn\[ray\]'"
    ):
        assemble.sandbox(cluster(tmp_path).settings, SIGNER)


@pytest.mark.usefixtures("has_ray")
def test_a_cluster_whose_files_are_not_there_is_not_called(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tls\.crt cannot be read: No such file"):
        assemble.sandbox(cluster(tmp_path).settings, SIGNER)


@pytest.mark.usefixtures("has_ray")
def test_a_key_of_a_cluster_that_others_read_is_refused_in_production(tmp_path: Path) -> None:
    for file in NAMES.values():
        (tmp_path / file).write_text("PEM")
        (tmp_path / file).chmod(0o644)
    with pytest.raises(ConfigError, match=r"ray_tls_key_path = .* can be read by others: chmod 600"):
        assemble.sandbox(cluster(tmp_path).settings, SIGNER)
