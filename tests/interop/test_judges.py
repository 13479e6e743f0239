"""Which of the two go-libp2p is tried: the one built here, or where there is no Go toolchain the one in a wheel."""

import pytest

from support.libp2p_judges import implementations

BUILT, IN_A_WHEEL = "go-libp2p", "p2pd (go-libp2p) of hivemind"


@pytest.mark.parametrize(
    ("built", "unpacked", "tried"),
    [
        (True, False, {BUILT}),
        (False, True, {IN_A_WHEEL}),
        (True, True, {BUILT, IN_A_WHEEL}),
        (False, False, {BUILT}),  # its test says what to install
    ],
)
def test_go_libp2p_is_tried_as_it_was_installed(tmp_path, built, unpacked, tried):
    judge, p2pd = tmp_path / "judge", tmp_path / "p2pd"
    for program, there in ((judge, built), (p2pd, unpacked)):
        if there:
            program.touch()
    names = {one.name for one in implementations(judge, p2pd)}
    assert names == {"js-libp2p", "py-libp2p"} | tried
