"""The dialogues beside this file are played, and what is seen to follow is what stands there."""

from pathlib import Path

import pytest

from support.dialogue import Dialogue

FILES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_dialogue_goes_as_written(path: Path) -> None:
    written, heard = Dialogue(path).play()
    assert "\n".join(written) == "\n".join(heard)


def test_there_are_dialogues() -> None:
    assert len(FILES) >= 5
