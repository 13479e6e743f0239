from wasmtime import Config, Engine, Linker, Module, Store, WasiConfig

from icn.adapters.wasm import preview1
from icn.domain.mesh.execution import ExitKind
from support.wasm_guests import compiled
from support.wasm_inside import run_inside

TYPES = {0x7F: "i32", 0x7E: "i64"}


def importing_all(module: str) -> str:
    declared = []
    for (owner, name), found in preview1.IMPORTS.items():
        if owner == module:
            parameters = " ".join(TYPES[code] for code in found.parameters)
            results = " ".join(TYPES[code] for code in found.results)
            declared.append(f'(import "{owner}" "{name}" (func (param {parameters}) (result {results})))')
    return f'(module {" ".join(declared)} (memory (export "memory") 1) (func (export "_start")))'


def test_the_types_are_those_of_the_engines_own_wasi() -> None:
    engine = Engine(Config())
    linker, store = Linker(engine), Store(engine)
    linker.define_wasi()
    store.set_wasi(WasiConfig())
    linker.instantiate(store, Module(engine, compiled(importing_all(preview1.WASI))))


def test_every_function_of_preview_1_is_there() -> None:
    assert sum(module == preview1.WASI for module, _ in preview1.IMPORTS) == 46
    for module in (preview1.WASI, "env"):
        assert run_inside(importing_all(module)).exit is ExitKind.COMPLETED
