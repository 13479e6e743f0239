import subprocess
import sys

from icn.adapters.wasm.profile import profile


def test_the_profile_names_the_engines_version() -> None:
    assert profile().startswith("icn-wasm-1/wasmtime-50.")
    assert profile() == profile()


def imported_by(module: str) -> set[str]:
    code = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_the_nodes_own_process_does_not_load_the_engine() -> None:
    assert "wasmtime" not in imported_by("icn.adapters.wasm.pool")


def test_a_worker_loads_little_of_the_node() -> None:
    found = imported_by("icn.adapters.wasm.worker")
    ours = {name for name in found if name.startswith("icn.") and not name.startswith("icn.adapters")}
    assert ours <= {
        *("icn.domain", "icn.domain.mesh", "icn.domain.mesh.execution"),
        *("icn.kernel", "icn.kernel.base_encodings", "icn.kernel.errors", "icn.kernel.ids", "icn.kernel.limits"),
        "icn.kernel.varint",
    }
    assert not found & {"asyncio", "cryptography", "subprocess", "apsw", "cbor2"}
