"""Programs from a seed: valid modules that do a bit of everything a guest can do, and end.

Structured control flow with bounded loops, integers, floats that become NaN, vectors, a memory and a table that grow,
direct and indirect calls, whatever of WASI answers something, and now and then a trap. What a program computed is in
its output: globals, the memory it used, the results of its functions. Made for one question: does it end the same
again?
"""

from dataclasses import dataclass, field
from random import Random

from icn.adapters.wasm.text import compile_text

I32, I64, F32, F64, V128 = "i32", "i64", "f32", "f64", "v128"
NUMBERS = (I32, I64, F32, F64)
TYPES = (*NUMBERS, V128)
_BYTES = {I32: 4, I64: 8, F32: 4, F64: 8, V128: 16}
DEPTH = 4
FUNCTIONS = 6
LOOP_TURNS = 12
MASK = 0x7FF0
"""Addresses lie in the first half page, on multiples of sixteen."""
RESULTS_AT = 0xF000
VECTORS_AT = 0xFF00

_INTEGER_BINARY = (
    *("add", "sub", "mul", "and", "or", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr"),
    *("div_s", "div_u", "rem_s", "rem_u"),
)
_INTEGER_UNARY = ("clz", "ctz", "popcnt", "extend8_s", "extend16_s")
_COMPARISONS = ("eq", "ne", "lt_s", "lt_u", "gt_s", "gt_u", "le_s", "le_u", "ge_s", "ge_u")
_FLOAT_BINARY = ("add", "sub", "mul", "div", "min", "max", "copysign")
_FLOAT_UNARY = ("abs", "neg", "ceil", "floor", "trunc", "nearest", "sqrt")
_FLOAT_COMPARISONS = ("eq", "ne", "lt", "gt", "le", "ge")
_FLOAT_CONSTANTS = (
    *("0", "-0", "1", "-1.5", "inf", "-inf", "nan", "-nan", "0x1p-140", "1e30", "-3.25e10", "0.1"),
    *("nan:0x200001", "-nan:0x123456"),
)
_INTEGER_CONSTANTS = {
    I32: (0, 1, -1, 7, 255, 65_537, -(2**31), 2**31 - 1, 0x7FC0_0001),
    I64: (0, 1, -1, 9, 2**32 + 5, -(2**63), 2**63 - 1, 0x7FF4_0000_0000_0001),
}
_CONVERSIONS = {
    I32: (
        *(("i32.wrap_i64", I64), ("i32.reinterpret_f32", F32)),
        *((f"i32.trunc_sat_{kind}", kind[:3]) for kind in ("f32_s", "f32_u", "f64_s", "f64_u")),
    ),
    I64: (
        *(("i64.extend_i32_s", I32), ("i64.extend_i32_u", I32), ("i64.reinterpret_f64", F64)),
        *((f"i64.trunc_sat_{kind}", kind[:3]) for kind in ("f32_s", "f32_u", "f64_s", "f64_u")),
    ),
    F32: (
        *(("f32.demote_f64", F64), ("f32.reinterpret_i32", I32)),
        *((f"f32.convert_{kind}", kind[:3]) for kind in ("i32_s", "i32_u", "i64_s", "i64_u")),
    ),
    F64: (
        *(("f64.promote_f32", F32), ("f64.reinterpret_i64", I64)),
        *((f"f64.convert_{kind}", kind[:3]) for kind in ("i32_s", "i32_u", "i64_s", "i64_u")),
    ),
}
_VECTOR_BINARY = (
    *("i8x16.add", "i8x16.sub_sat_u", "i16x8.mul", "i32x4.add", "i64x2.mul", "i8x16.swizzle", "i32x4.dot_i16x8_s"),
    *("f32x4.add", "f32x4.div", "f32x4.min", "f32x4.pmax", "f64x2.mul", "f64x2.div", "f64x2.max", "f64x2.pmin"),
    *("v128.and", "v128.xor", "v128.andnot", "i16x8.q15mulr_sat_s", "f32x4.lt", "i32x4.gt_u"),
    *("f32x4.relaxed_min", "f64x2.relaxed_max", "i8x16.relaxed_swizzle", "i16x8.relaxed_q15mulr_s"),
)
_VECTOR_UNARY = (
    *("v128.not", "i8x16.popcnt", "i32x4.abs", "f32x4.sqrt", "f64x2.sqrt", "f32x4.nearest", "f64x2.neg"),
    *("f32x4.convert_i32x4_s", "f64x2.promote_low_f32x4", "f32x4.demote_f64x2_zero", "i32x4.trunc_sat_f32x4_u"),
    *("i32x4.relaxed_trunc_f32x4_s", "i32x4.relaxed_trunc_f64x2_u_zero"),
)
_VECTOR_TERNARY = ("v128.bitselect", "f32x4.relaxed_madd", "f64x2.relaxed_nmadd", "i32x4.relaxed_laneselect")
_LANES = ((I32, "i32x4", 4), (I64, "i64x2", 2), (F32, "f32x4", 4), (F64, "f64x2", 2))
_IMPORTS = {
    "fd_write": "i32 i32 i32 i32",
    "fd_read": "i32 i32 i32 i32",
    "random_get": "i32 i32",
    "clock_time_get": "i32 i64 i32",
    "args_sizes_get": "i32 i32",
    "args_get": "i32 i32",
    "fd_fdstat_get": "i32 i32",
    "sched_yield": "",
    "poll_oneoff": "i32 i32 i32 i32",
    "path_open": "i32 i32 i32 i32 i32 i64 i64 i32 i32",
}


def program(seed: int) -> bytes:
    """The module of this seed, always the same."""
    return compile_text(program_text(seed))


def program_text(seed: int) -> str:
    """The same for people."""
    return _Program(Random(seed)).text()


@dataclass(slots=True)
class _Function:
    number: int
    result: str
    parameters: tuple[str, ...]
    labels: int = 0
    loops: int = 0
    counters: list[str] = field(default_factory=list)

    def local(self, kind: str) -> str:
        return f"${kind}"


class _Program:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.functions = [
            _Function(number, random.choice(NUMBERS), tuple(random.choices(NUMBERS, k=random.randrange(3))))
            for number in range(FUNCTIONS)
        ]

    def text(self) -> str:
        random = self.random
        imports = " ".join(
            f'(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {kinds}) (result i32)))'
            for name, kinds in _IMPORTS.items()
        )
        leave = '(import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))'
        variables = " ".join(f"(global $g{kind} (mut {kind}) {self._constant(kind)})" for kind in TYPES)
        names = " ".join(f"$f{function.number}" for function in self.functions)
        data = "".join(f"\\{random.randrange(256):02x}" for _ in range(random.randrange(8, 200)))
        bodies = "\n".join(map(self._function, self.functions))
        return f"""(module {imports} {leave}
  (memory (export "memory") {random.randrange(1, 4)}) (table $t {FUNCTIONS + random.randrange(3)} funcref)
  (elem (table $t) (i32.const 0) func {names}) (data (i32.const {random.randrange(0, 2000)}) "{data}")
  {variables}
  {bodies}
  {self._entry()})"""

    def _entry(self) -> str:
        calls = []
        for function in self.functions:
            given = " ".join(map(self._constant, function.parameters))
            calls.append(
                f"({function.result}.store (i32.const {RESULTS_AT + 16 * function.number}) "
                f"(call $f{function.number} {given}))"
            )
        kept = [
            f"({kind}.store (i32.const {RESULTS_AT + 0x200 + 16 * place}) (global.get $g{kind}))"
            for place, kind in enumerate(TYPES)
        ]
        sizes = f"(i32.store (i32.const {RESULTS_AT + 0x300}) (memory.size))"
        sizes += f"(i32.store (i32.const {RESULTS_AT + 0x304}) (table.size $t))"
        written = self._write(1, RESULTS_AT, 0x400) + self._write(1, 0, MASK + 16)
        leave = f"(call $proc_exit (i32.const {self.random.randrange(256)}))" if self.random.random() < 0.4 else ""
        return f'(func (export "_start") {" ".join((*calls, *kept, sizes))} {written} {leave})'

    def _function(self, function: _Function) -> str:
        parameters = " ".join(f"(param $p{place} {kind})" for place, kind in enumerate(function.parameters))
        statements = " ".join(self._statement(function, DEPTH) for _ in range(self.random.randrange(2, 6)))
        result = self._expression(function, function.result, DEPTH)
        counters = " ".join(f"(local {name} i32)" for name in function.counters)
        variables = " ".join(f"(local ${kind} {kind})" for kind in TYPES)
        return (
            f"(func $f{function.number} {parameters} (result {function.result}) {variables} {counters}\n"
            f"    {statements}\n    {result})"
        )

    # Statements

    def _statement(self, function: _Function, depth: int) -> str:
        kinds = ["set", "set", "global", "store", "store"]
        if depth > 0:
            kinds += ["if", "loop", "loop", "block", "switch", "host", "grow", "bulk", "call"]
        if self.random.random() < 0.0006:
            return "unreachable"
        return str(getattr(self, f"_{self.random.choice(kinds)}")(function, depth - 1))

    def _some(self, function: _Function, depth: int) -> str:
        return " ".join(self._statement(function, depth) for _ in range(self.random.randrange(1, 4)))

    def _set(self, function: _Function, depth: int) -> str:
        kind = self.random.choice(TYPES)
        return f"(local.set {function.local(kind)} {self._expression(function, kind, depth)})"

    def _global(self, function: _Function, depth: int) -> str:
        kind = self.random.choice(TYPES)
        return f"(global.set $g{kind} {self._expression(function, kind, depth)})"

    def _store(self, function: _Function, depth: int) -> str:
        kind, narrow = self.random.choice(TYPES), ""
        if kind in {I32, I64}:
            narrow = self.random.choice(("", "8", "16"))
        value = self._expression(function, kind, depth)
        return f"({kind}.store{narrow} {self._address(function, depth)} {value})"

    def _if(self, function: _Function, depth: int) -> str:
        condition = self._expression(function, I32, depth)
        return f"(if {condition} (then {self._some(function, depth)}) (else {self._some(function, depth)}))"

    def _loop(self, function: _Function, depth: int) -> str:
        counter = f"$n{len(function.counters)}"
        function.counters.append(counter)
        function.labels += 1
        label, turns = f"$l{function.labels}", self.random.randrange(1, LOOP_TURNS)
        body = self._some(function, min(depth, 1))
        return (
            f"(local.set {counter} (i32.const 0)) (loop {label} {body} (br_if {label} (i32.lt_u "
            f"(local.tee {counter} (i32.add (local.get {counter}) (i32.const 1))) (i32.const {turns}))))"
        )

    def _block(self, function: _Function, depth: int) -> str:
        function.labels += 1
        label = f"$l{function.labels}"
        condition = self._expression(function, I32, depth)
        before, after = self._some(function, depth), self._some(function, depth)
        return f"(block {label} {before} (br_if {label} {condition}) {after})"

    def _switch(self, function: _Function, depth: int) -> str:
        function.labels += 3
        one, two, three = (f"$l{function.labels - back}" for back in range(3))
        chosen = self._expression(function, I32, depth)
        inner = f"(block {one} (br_table {one} {two} {three} (i32.rem_u {chosen} (i32.const 5))))"
        return f"(block {three} (block {two} {inner} {self._some(function, depth)}) {self._some(function, depth)})"

    def _grow(self, function: _Function, depth: int) -> str:
        if self.random.random() < 0.5:
            pages = self.random.choice((0, 1, 2, 50_000))
            return f"(global.set $gi32 (i32.xor (global.get $gi32) (memory.grow (i32.const {pages}))))"
        more, filler = self.random.choice((0, 1, 3, 1_000_000)), self.random.choice(("null func", "func $f0"))
        return f"(global.set $gi32 (i32.add (global.get $gi32) (table.grow $t (ref.{filler}) (i32.const {more}))))"

    def _bulk(self, function: _Function, depth: int) -> str:
        name = self.random.choice(("copy", "fill"))
        second = self._address(function, depth) if name == "copy" else self._expression(function, I32, depth)
        return f"(memory.{name} {self._address(function, depth)} {second} (i32.const {self.random.randrange(0, 300)}))"

    def _call(self, function: _Function, depth: int) -> str:
        return f"(drop {self._called(function, self.random.choice(NUMBERS), depth)})"

    def _host(self, function: _Function, depth: int) -> str:
        at = f"(i32.const {self.random.randrange(0, 0x7000) & ~15})"
        second = f"(i32.const {self.random.randrange(0x7000, 0x7800) & ~15})"
        clock = self.random.randrange(5)
        calls = (
            f"(call $random_get {at} (i32.const {self.random.randrange(64)}))",
            f"(call $clock_time_get (i32.const {clock}) (i64.const 0) {at})",
            f"(call $args_sizes_get {at} {second})",
            f"(call $args_get {at} {second})",
            f"(call $fd_fdstat_get (i32.const {self.random.randrange(5)}) {at})",
            "(call $sched_yield)",
            f"(call $path_open (i32.const 3) {at} {at} {at} {at} (i64.const 0) (i64.const 0) {at} {at})",
            f"(call $fd_read (i32.const 0) {at} (i32.const {self.random.randrange(3)}) {second})",
            self._nap(at, second),
        )
        call = self.random.choice(calls)
        written = self._write(self.random.choice((1, 2, 7)), self.random.randrange(0x4000), self.random.randrange(40))
        return f"(global.set $gi32 (i32.add (global.get $gi32) {call})) {written if self.random.random() < 0.3 else ''}"

    def _nap(self, at: str, second: str) -> str:
        """A subscription to the monotonic clock, some microseconds from now, or to whatever memory says."""
        clear = f"(memory.fill {at} (i32.const 0) (i32.const 48))"
        clock = f"(i32.store offset=16 {at} (i32.const 1))"
        timeout = f"(i64.store offset=24 {at} (i64.const {self.random.randrange(50_000)}))"
        poll = f"(call $poll_oneoff {at} {second} (i32.const 1) {second})"
        if self.random.random() < 0.2:
            return poll
        return f"(block (result i32) {clear} {clock} {timeout} {poll})"

    def _write(self, descriptor: int, address: int, size: int) -> str:
        return (
            f"(i32.store (i32.const {VECTORS_AT}) (i32.const {address}))"
            f"(i32.store (i32.const {VECTORS_AT + 4}) (i32.const {size}))"
            f"(drop (call $fd_write (i32.const {descriptor}) (i32.const {VECTORS_AT}) (i32.const 1) "
            f"(i32.const {VECTORS_AT + 8})))"
        )

    # Expressions

    def _expression(self, function: _Function, kind: str, depth: int) -> str:
        if depth <= 0 or self.random.random() < 0.15:
            return self._leaf(function, kind)
        return self._vector(function, depth - 1) if kind == V128 else self._number(function, kind, depth - 1)

    def _leaf(self, function: _Function, kind: str) -> str:
        own = [f"$p{place}" for place, of in enumerate(function.parameters) if of == kind]
        return self.random.choice(
            (
                self._constant(kind),
                f"(local.get {function.local(kind)})",
                f"(global.get $g{kind})",
                *(f"(local.get {name})" for name in own),
            )
        )

    def _number(self, function: _Function, kind: str, depth: int) -> str:
        def one(of: str = kind) -> str:
            return self._expression(function, of, depth)

        random = self.random
        chosen = random.randrange(12)
        if chosen == 0:
            return f"({kind}.load {self._address(function, depth)})"
        if chosen == 1:
            return f"(select {one()} {one()} {one(I32)})"
        if chosen == 2:
            return f"(if (result {kind}) {one(I32)} (then {one()}) (else {one()}))"
        if chosen == 3:
            return self._called(function, kind, depth)
        if chosen == 4:
            return f"(local.tee {function.local(kind)} {one()})"
        if chosen == 5:
            lane = next(lane for lane in _LANES if lane[0] == kind)
            return f"({lane[1]}.extract_lane {random.randrange(lane[2])} {one(V128)})"
        if chosen in {6, 7}:
            name, of = random.choice(_CONVERSIONS[kind])
            return f"({name} {one(of)})"
        if kind in {F32, F64}:
            if random.random() < 0.3:
                return f"({kind}.{random.choice(_FLOAT_UNARY)} {one()})"
            return f"({kind}.{random.choice(_FLOAT_BINARY)} {one()} {one()})"
        if kind == I32 and random.random() < 0.4:
            of = random.choice(NUMBERS)
            names = _FLOAT_COMPARISONS if of in {F32, F64} else _COMPARISONS
            return f"({of}.{random.choice(names)} {one(of)} {one(of)})"
        if random.random() < 0.3:
            return f"({kind}.{random.choice(_INTEGER_UNARY)} {one()})"
        name = random.choice(_INTEGER_BINARY)
        divisor = f"({kind}.or {one()} ({kind}.const 1))" if name[:3] in {"div", "rem"} else one()
        return f"({kind}.{name} {one()} {divisor})"

    def _vector(self, function: _Function, depth: int) -> str:
        def one(of: str = V128) -> str:
            return self._expression(function, of, depth)

        random = self.random
        chosen = random.randrange(8)
        if chosen == 0:
            return f"(v128.load {self._address(function, depth)})"
        if chosen == 1:
            kind, lanes, _ = random.choice(_LANES)
            return f"({lanes}.splat {one(kind)})"
        if chosen == 2:
            kind, lanes, count = random.choice(_LANES)
            return f"({lanes}.replace_lane {random.randrange(count)} {one()} {one(kind)})"
        if chosen == 3:
            order = " ".join(str(random.randrange(32)) for _ in range(16))
            return f"(i8x16.shuffle {order} {one()} {one()})"
        if chosen == 4:
            return f"({random.choice(_VECTOR_TERNARY)} {one()} {one()} {one()})"
        if chosen == 5:
            return f"({random.choice(_VECTOR_UNARY)} {one()})"
        return f"({random.choice(_VECTOR_BINARY)} {one()} {one()})"

    def _called(self, function: _Function, kind: str, depth: int) -> str:
        """A call of an earlier function, so that calls end; sometimes through the table, where a wrong type traps."""
        earlier = [other for other in self.functions[: function.number] if other.result == kind]
        if not earlier:
            return self._leaf(function, kind)
        other = self.random.choice(earlier)
        given = " ".join(self._expression(function, of, min(depth, 1)) for of in other.parameters)
        if self.random.random() < 0.3:
            kinds = f"(param {' '.join(other.parameters)}) (result {other.result})"
            wrong = self.random.random() < 0.01
            return f"(call_indirect $t {kinds} {given} (i32.const {FUNCTIONS + 9 if wrong else other.number}))"
        return f"(call $f{other.number} {given})"

    def _address(self, function: _Function, depth: int) -> str:
        value = self._expression(function, I32, min(depth, 1))
        return value if self.random.random() < 0.01 else f"(i32.and {value} (i32.const {MASK}))"

    def _constant(self, kind: str) -> str:
        if kind == V128:
            return f"(v128.const i64x2 {self.random.getrandbits(64)} {self.random.getrandbits(64)})"
        if kind in {F32, F64}:
            return f"({kind}.const {self.random.choice(_FLOAT_CONSTANTS)})"
        if self.random.random() < 0.5:
            return f"({kind}.const {self.random.choice(_INTEGER_CONSTANTS[kind])})"
        return f"({kind}.const {self.random.getrandbits(32 if kind == I32 else 64)})"
