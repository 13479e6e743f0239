import os
import re
from pathlib import Path

import pytest

from icn.config.catalog import catalog
from icn.config.load import load
from icn.config.reference import profile_names, profile_text, reference

ROOT = Path(__file__).parents[3]
ENVIRON = {"ICN_API_KEY": "k" * 32}


def test_the_reference_is_the_page_in_docs():
    assert (ROOT / "docs/config.md").read_text() == reference(), "write it anew: see icn.config.reference"


def test_the_reference_names_every_key_and_spelling():
    page = reference()
    assert all(f"`{entry.key.rpartition('.')[2]}`" in page for entry in catalog().entries.values())


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.name)
def test_every_file_in_configs_loads_as_its_profile(path, loading):
    assert path.stem in profile_names()
    from_file = load(flags={}, config_path=path, environ=ENVIRON if path.stem != "development" else {})
    from_profile = loading(profile_text(path.stem), ENVIRON if path.stem != "development" else {})
    assert from_file.settings == from_profile.settings
    assert not from_file.warnings


def test_every_profile_has_its_file():
    assert {path.stem for path in (ROOT / "configs").glob("*.toml")} == set(profile_names())


def test_the_development_block_of_the_guide_loads_as_written(loading):
    guide = Path(os.environ.get("GUIDE_PATH", ROOT.parent / "shared/guide"))
    page = guide / "deployment-guide.md" if guide.is_dir() else guide
    if not page.is_file():
        pytest.skip(f"the deployment guide is not at {page}; GUIDE_PATH names it")
    blocks = re.findall(r"```toml\n(# configs/development\.toml\n.*?)```", page.read_text(), re.DOTALL)
    assert len(blocks) == 1
    assert (ROOT / "configs/development.toml").read_text() == blocks[0]
    settings = loading(blocks[0]).settings
    assert settings.runtime.test_mode
    assert settings.runtime.environment == "development"
    assert settings.storage.backend == "memory"
    assert not settings.network.p2p_enabled
    assert settings.security.api_key.reveal() == "dev-key-123"
    assert not settings.security.require_auth
