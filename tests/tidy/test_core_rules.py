"""The core keeps its rules, and the rules notice when it does not."""

import pytest

from tidy import core_rules
from tidy.source import PACKAGE, Module, modules_under

CORE_MODULES = [module for module in modules_under(PACKAGE) if module.is_core]


def test_the_core_is_synchronous_and_deterministic() -> None:
    found = [finding for module in CORE_MODULES for finding in core_rules.check(module)]
    assert not found, "\n" + "\n".join(map(str, found))


PLANTED = {
    "clock": "import time\nnow = time.time()",
    "clock from": "from time import monotonic",
    "datetime": "from datetime import UTC, datetime",
    "random module": "import random",
    "random function": "from random import Random, choice",
    "own Random": "from random import Random\nrng = Random(1)",
    "secrets": "import secrets",
    "urandom": "import os\nos.urandom(16)",
    "key made in the core": "key = Ed25519PrivateKey.generate()",
    "uuid": "from uuid import uuid4",
    "environment": "import os.path",
    "files": "data = open('x')",
    "path": "from pathlib import Path",
    "log": "import logging",
    "thread": "import threading",
    "socket": "import socket",
    "async function": "async def f():\n    pass",
    "asyncio": "import asyncio",
    "float": "half = 0.5",
    "float call": "half = float('0.5')",
    "float annotation": "def f(x: float): ...",
    "division": "half = 1 / 2",
    "division in place": "x = 1\nx /= 2",
    "math": "import math",
    "math sqrt": "from math import sqrt",
    "hash": "order = hash('a')",
    "id": "order = id(object())",
    "print": "print('hello')",
    "global": "def f():\n    global x\n    x = 1",
    "walk a display": "for x in {1, 2}: ...",
    "walk a call": "for x in set([1]): ...",
    "walk a comprehension": "y = [x for x in {z for z in ()}]",
    "walk a name": "seen = set()\nfor x in seen: ...",
    "walk an argument": "def f(peers: set[str]):\n    return [p for p in peers]",
    "walk a frozen argument": "def f(peers: 'frozenset[str]'):\n    return list(peers)",
    "walk a field": "class A:\n    peers: set[str]\n    def f(self):\n        for p in self.peers: ...",
    "walk a field set late": (
        "class A:\n    def g(self):\n        self.p: set = set()\n    def f(self):\n        return tuple(self.p)"
    ),
    "walk a result": "def peers() -> set[str]: ...\nfor p in peers(): ...",
    "walk a difference": "def f(a: dict, b: dict):\n    for k in a.keys() - b.keys(): ...",
    "walk a union": "def f(a: set, b: set):\n    return ','.join(a | b)",
    "join a generator over a set": "def f(a: set):\n    return ','.join(str(x) for x in a)",
    "unpack a set": "def f(a: set):\n    return [*a]",
    "pop a set": "def f(a: set):\n    return a.pop()",
    "next of a set": "def f(a: set):\n    return next(iter(a))",
    "enumerate a set": "def f(a: set):\n    return [x for x in enumerate(a)]",
}


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_violation_is_found(text: str) -> None:
    assert core_rules.check(Module("domain/ledger/rules.py", text))


ALLOWED = {
    "Random as an annotation": "from random import Random\ndef f(rng: Random) -> int:\n    return rng.randrange(3)",
    "sorted set": "def f(a: set[str]):\n    return sorted(a)",
    "sorted comprehension": "def f(a: set[str]):\n    return [x for x in sorted({y for y in a if y} if 0 else a)]",
    "membership and size": "def f(a: set[str], x: str):\n    return x in a and len(a) > 1 and a <= a and max(a)",
    "list named like a set elsewhere": "def f(seen: set): ...\ndef g(seen: list):\n    return [x for x in seen]",
    "name that became a list": "def f(seen: set):\n    seen = sorted(seen)\n    for x in seen: ...",
    "walk a dict": "def f(a: dict):\n    for k in a: ...",
    "floor division": "half = 1 // 2",
    "integers of math": "from math import isqrt",
    "docstring with words": '"""time.time() is banned, 0.5 too."""',
}


@pytest.mark.parametrize("text", ALLOWED.values(), ids=ALLOWED.keys())
def test_what_is_sound_passes(text: str) -> None:
    assert [str(finding) for finding in core_rules.check(Module("domain/ledger/rules.py", text))] == []


def test_only_the_encoding_may_look_at_floats() -> None:
    text = "import math\n\ndef finite(x: float) -> bool:\n    return math.isfinite(x)\n"
    assert core_rules.check(Module("kernel/encoding.py", text)) == []
    assert core_rules.check(Module("kernel/mana.py", text))
