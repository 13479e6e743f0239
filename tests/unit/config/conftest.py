from pathlib import Path

import pytest

from icn.config.flags import FlagValue
from icn.config.load import load
from icn.config.sources import ConfigurationRefused


class Loading:
    """Loads what a test writes down: a file's text, variables, and flags by key."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "node.toml"

    def __call__(self, text=None, env=None, flags=None, sections=None):
        if text is not None:
            self.path.write_text(text)
        given = {key: FlagValue(value, f"--{key}") for key, value in (flags or {}).items()}
        return load(flags=given, config_path=None if text is None else self.path, environ=env or {}, sections=sections)

    def refused(self, text=None, env=None, flags=None, sections=None) -> str:
        """The message, with the file's directory removed."""
        with pytest.raises(ConfigurationRefused) as caught:
            self(text, env, flags, sections)
        assert len(caught.value.problems) >= 1
        return str(caught.value).replace(f"{self.path.parent}/", "")


@pytest.fixture
def loading(tmp_path):
    return Loading(tmp_path)
