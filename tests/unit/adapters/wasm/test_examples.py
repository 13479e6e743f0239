"""The example jobs do what their first lines say."""

from pathlib import Path

import pytest

from icn.adapters.wasm.text import compile_text
from icn.domain.mesh.execution import ExitKind
from support.wasm_inside import run_inside

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"


def text_of(name: str) -> str:
    return (EXAMPLES / name / f"{name}.wat").read_text()


@pytest.mark.parametrize(
    ("limit", "count"), [("0", 0), ("2", 0), ("3", 1), ("5", 2), ("100", 25), ("7920", 1000), ("100000", 9592)]
)
def test_primes_are_counted(limit: str, count: int) -> None:
    ended = run_inside(text_of("primes"), arguments=(limit,))
    assert (ended.exit, ended.exit_code, ended.output) == (ExitKind.COMPLETED, 0, f"{count}\n".encode())


@pytest.mark.parametrize("arguments", [(), ("",), ("x",), ("-1",), ("4000000001",), ("1", "2"), ("9" * 5000,)])
def test_primes_without_a_number_says_how_it_is_used(arguments: tuple[str, ...]) -> None:
    ended = run_inside(text_of("primes"), arguments=arguments)
    assert (ended.exit_code, ended.output) == (2, b"")
    assert ended.detail.startswith("usage: primes N")


def test_squares_are_added() -> None:
    output = run_inside(text_of("squares")).output
    assert int.from_bytes(output, "little") == sum(n * n for n in range(1, 1_000_001))


def test_the_same_text_makes_the_same_module() -> None:
    assert compile_text(text_of("primes")) == compile_text(text_of("primes"))
