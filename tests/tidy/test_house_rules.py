"""Our source keeps the house's rules, and the rules notice when it does not."""

import pytest

from tidy import house_rules
from tidy.source import PACKAGE, REPOSITORY, Finding, Module, modules_under


def test_the_source_keeps_the_rules() -> None:
    found = [finding for module in modules_under(PACKAGE) for finding in house_rules.check(module)]
    assert not found, "\n" + "\n".join(map(str, found))


@pytest.mark.parametrize("folder", ["tests", "tools", "demo", "bench"])
def test_beside_the_source_too_a_silenced_check_has_a_reason_and_nothing_is_promised(folder: str) -> None:
    found = [
        Finding(f"{folder}/{module.path}", line, what)
        for module in modules_under(REPOSITORY / folder)
        if not module.path.startswith("tidy/")  # the rules' own words and planted cases
        for rule in (house_rules.suppressions, house_rules.unfinished)
        for line, what in rule(module)
    ]
    assert not found, "\n" + "\n".join(map(str, found))


DOC = '"""Says something."""\n'
PLANTED = {
    "empty module": ("domain/empty.py", ""),
    "no docstring": ("domain/quiet.py", "x = 1\n"),
    "forbidden name": ("domain/utils.py", DOC),
    "forbidden word in a name": ("domain/peer_manager.py", DOC),
    "forbidden package": ("common/x.py", DOC),
    "second version": ("protocol/gossip_v2.py", DOC),
    "capital in a name": ("domain/Ledger.py", DOC),
    "stub class": ("adapters/net.py", DOC + "class StubNetwork: ..."),
    "mock function": ("adapters/net.py", DOC + "def make_mock(): ..."),
    "fake variable": ("adapters/net.py", DOC + "fake_peer = 1"),
    "except Exception": ("services/engine.py", DOC + "try: ...\nexcept Exception: ..."),
    "bare except": ("services/engine.py", DOC + "try: ...\nexcept: ..."),
    "broad in a tuple": ("services/engine.py", DOC + "try: ...\nexcept (ValueError, Exception): ..."),
    "suppress all": ("adapters/net.py", DOC + "with contextlib.suppress(Exception): ..."),
    "one too many at the edge": ("node/drivers.py", DOC + "try: ...\nexcept Exception: ...\n" * 2),
    "cleaning up and going on": (
        "services/x.py",
        DOC + "def f():\n    try: ...\n    except BaseException:\n        return\n        raise",
    ),
    "assert": ("services/engine.py", DOC + "assert True"),
    "unbounded queue": ("node/drivers.py", DOC + "q = asyncio.Queue()"),
    "queue bounded by zero": ("node/drivers.py", DOC + "q = Queue(maxsize=0)"),
    "simple queue": ("node/drivers.py", DOC + "q = queue.SimpleQueue()"),
    "unbounded deque": ("protocol/x.py", DOC + "q = deque()"),
    "environment": ("adapters/keys.py", DOC + "import os\nx = os.environ['A']"),
    "environment by name": ("adapters/keys.py", DOC + "from os import getenv"),
    "config in a service": ("services/x.py", DOC + "from icn.config.schema import Config"),
    "config in an adapter": ("adapters/clock.py", DOC + "from icn import config"),
    "todo": ("domain/x.py", DOC + "# TODO" + ": later"),
    "for now": ("domain/x.py", '"""Enough for' + ' now."""'),
    "bare noqa": ("domain/x.py", DOC + "x = 1  # noqa"),
    "noqa without a reason": ("domain/x.py", DOC + "x = 1  # noqa: E501"),
    "ignore without a reason": ("domain/x.py", DOC + "x = 1  # type: ignore[arg-type]"),
    "ignore without a code": ("domain/x.py", DOC + "x = 1  # type: ignore - because"),
}


@pytest.mark.parametrize(("path", "text"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_violation_is_found(path: str, text: str) -> None:
    assert house_rules.check(Module(path, text))


ALLOWED = {
    "package with a docstring": ("domain/__init__.py", DOC),
    "simulated things in the simulator": ("sim/network.py", DOC + "class FakePeer: ..."),
    "the outermost loop": ("node/drivers.py", DOC + "try: ...\nexcept Exception: ..."),
    "bounded queue": ("node/drivers.py", DOC + "q = asyncio.Queue(QUEUE_INPUTS_MAX)\nd = deque(maxlen=3)"),
    "bound elsewhere, and said so": (
        "protocol/x.py",
        DOC + "d = deque()  # bounded: FETCHES_IN_FLIGHT_MAX, in offer()",
    ),
    "config reads": ("config/sources.py", DOC + "import os\nx = os.environ['A']"),
    "a program reads config": ("node/main.py", DOC + "from icn.config.schema import Config"),
    "noqa with a reason": ("domain/x.py", DOC + "x = 1  # noqa: E501, F401 - the address is one word"),
    "ignore with a reason": ("domain/x.py", DOC + "x = 1  # type: ignore[arg-type]  # every caller passes a dataclass"),
    "cleaning up and raising again": ("adapters/x.py", DOC + "try: ...\nexcept BaseException:\n    close()\n    raise"),
    "base58": ("kernel/base_encodings.py", DOC),
    "stubborn is not a stub": ("protocol/x.py", DOC + "stubborn = 1"),
}


@pytest.mark.parametrize(("path", "text"), ALLOWED.values(), ids=ALLOWED.keys())
def test_what_is_sound_passes(path: str, text: str) -> None:
    assert [str(finding) for finding in house_rules.check(Module(path, text))] == []
