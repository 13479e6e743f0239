import pytest

from icn.adapters.wasm import bounds
from icn.adapters.wasm.admission import Entry, admit
from icn.adapters.wasm.refusals import ModuleRefused
from support.wasm_guests import HELLO, RUN, compiled

START = '(func (export "_start"))'


def refusal(text: str) -> str:
    with pytest.raises(ModuleRefused) as caught:
        admit(compiled(text))
    return caught.value.why


def test_commands_and_run_modules_are_admitted() -> None:
    assert admit(compiled(HELLO))[1] is Entry.COMMAND
    assert admit(compiled(RUN))[1] is Entry.RUN
    both = f'(module {START} (func (export "run") (result i64) (i64.const 0)))'
    assert admit(compiled(both))[1] is Entry.COMMAND


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        ('(import "env" "system" (func))', "env.system (function)"),
        ('(import "wasi_snapshot_preview1" "exec" (func))', "wasi_snapshot_preview1.exec (function)"),
        ('(import "wasi_unstable" "fd_write" (func))', "wasi_unstable.fd_write (function)"),
        ('(import "env" "memory" (memory 1))', "env.memory (memory)"),
        ('(import "env" "table" (table 1 funcref))', "env.table (table)"),
        ('(import "wasi_snapshot_preview1" "fd_write" (global i32))', "wasi_snapshot_preview1.fd_write (global)"),
    ],
)
def test_an_import_outside_the_allow_list_is_refused_by_name(declared: str, named: str) -> None:
    assert refusal(f"(module {declared} {START})") == f"imports {named}, which is not allowed"


def test_an_allowed_import_must_have_its_own_type() -> None:
    assert "another type" in refusal(f'(module (import "wasi_snapshot_preview1" "fd_close" (func)) {START})')


@pytest.mark.parametrize(
    "text",
    [
        "(module)",
        '(module (func (export "main")))',
        '(module (func (export "_start") (param i32)))',
        '(module (func (export "run") (result i32) (i32.const 1)))',
        '(module (memory (export "_start") 1))',
        '(module (import "wasi_snapshot_preview1" "sched_yield" (func $y (result i32))) (export "_start" (func $y)))',
    ],
)
def test_a_module_without_entry_point_is_refused(text: str) -> None:
    assert "neither `_start`" in refusal(text)


def test_a_module_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(ModuleRefused, match=f"at most {bounds.MODULE_BYTES_MAX}"):
        admit(bytes(bounds.MODULE_BYTES_MAX + 1))
