"""Guests for tests, as WebAssembly text: six hostile ones, and small honest ones for one promise each."""

from functools import cache

from icn.adapters.wasm.text import compile_text


def imported(name: str, parameters: str, result: str = "(result i32)") -> str:
    """A WASI import under its own name."""
    return f'(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {parameters}) {result}))'


FD_WRITE = imported("fd_write", "i32 i32 i32 i32")
FD_READ = imported("fd_read", "i32 i32 i32 i32")
POLL = imported("poll_oneoff", "i32 i32 i32 i32")
CLOCK = imported("clock_time_get", "i32 i64 i32")
RANDOM = imported("random_get", "i32 i32")
EXIT = imported("proc_exit", "i32", "")

# Never returns, calls nobody.
ENDLESS = """(module (memory (export "memory") 1) (func (export "_start") (loop $on (br $on))))"""

# Takes a page, writes over all it has, asks for more; refused or not, goes on.
MEMORY_BOMB = """(module (memory (export "memory") 1) (func (export "_start") (loop $on
  (drop (memory.grow (i32.const 1)))
  (memory.fill (i32.const 0) (i32.const 7) (i32.mul (memory.size) (i32.const 65536)))
  (br $on))))"""

TABLE_BOMB = """(module (memory (export "memory") 1) (table 1 funcref) (func (export "_start") (loop $on
  (drop (table.grow 0 (ref.null func) (i32.const 100)))
  (br $on))))"""

RECURSION = """(module (memory (export "memory") 1)
  (func $deeper (param i64) (result i64)
    (i64.add (call $deeper (i64.add (local.get 0) (i64.const 1))) (i64.const 1)))
  (func (export "_start") (drop (call $deeper (i64.const 0)))))"""

# 896 KiB at a time, for ever.
OUTPUT_FLOOD = f"""(module {FD_WRITE} (memory (export "memory") 16)
  (data (i32.const 0) "\\10\\00\\00\\00\\00\\00\\0e\\00")
  (func (export "_start") (loop $on
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (br $on))))"""

# One subscription to the monotonic clock, 60 s from now, over and over.
SLEEP = f"""(module {POLL} (memory (export "memory") 1)
  (func (export "_start") (loop $on
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 60000000000))
    (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
    (br $on))))"""

HOSTILE = {
    "endless loop": ENDLESS,
    "memory bomb": MEMORY_BOMB,
    "table bomb": TABLE_BOMB,
    "deep recursion": RECURSION,
    "output flood": OUTPUT_FLOOD,
    "WASI sleep": SLEEP,
}

HELLO = f"""(module {FD_WRITE} (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00") (data (i32.const 16) "hello\\n")
  (func (export "_start") (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""

# Copies standard input to standard output, 256 bytes at a time.
COPY = f"""(module {FD_WRITE} {FD_READ} (memory (export "memory") 1)
  (func (export "_start") (block $end (loop $next
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 256))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (br_if $end (i32.eqz (i32.load (i32.const 8))))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
    (br $next)))))"""

TRAP = """(module (memory (export "memory") 1) (func (export "_start") unreachable))"""

RUN = """(module (func (export "run") (result i64) (i64.const -2)))"""


def exiting(code: int) -> str:
    """Calls `proc_exit`."""
    return f"""(module {EXIT} (memory (export "memory") 1)
      (func (export "_start") (call $proc_exit (i32.const {code})) unreachable))"""


def growing(memory_times: int, table_times: int, ending: str = "") -> str:
    """Asks for a page and for a table element that it cannot have, each a known number of times."""
    return f"""(module (memory (export "memory") 1) (table 1 funcref)
      (func $times (param $left i32) (param $table i32)
        (block $end (loop $next
          (br_if $end (i32.eqz (local.get $left)))
          (if (local.get $table)
            (then (drop (table.grow 0 (ref.null func) (i32.const 1000000))))
            (else (drop (memory.grow (i32.const 60000)))))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br $next))))
      (func (export "_start")
        (call $times (i32.const {memory_times}) (i32.const 0))
        (call $times (i32.const {table_times}) (i32.const 1)) {ending}))"""


@cache
def compiled(text: str) -> bytes:
    """The binary module."""
    return compile_text(text)
