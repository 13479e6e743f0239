"""Which functions a guest may import, and their types: all of WASI preview 1, and AssemblyScript's `abort`.

Every function of `wasi_snapshot_preview1` is there, so that what the compilers for Rust, C, Go, Zig and
AssemblyScript produce links as it is; most answer that there is no such file (see wasi).
"""

from icn.adapters.wasm.declarations import FunctionType

WASI = "wasi_snapshot_preview1"

_CODES = {"i": b"\x7f", "I": b"\x7e"}
_PARAMETERS = {
    "args_get": "ii",
    "args_sizes_get": "ii",
    "clock_res_get": "ii",
    "clock_time_get": "iIi",
    "environ_get": "ii",
    "environ_sizes_get": "ii",
    "fd_advise": "iIIi",
    "fd_allocate": "iII",
    "fd_close": "i",
    "fd_datasync": "i",
    "fd_fdstat_get": "ii",
    "fd_fdstat_set_flags": "ii",
    "fd_fdstat_set_rights": "iII",
    "fd_filestat_get": "ii",
    "fd_filestat_set_size": "iI",
    "fd_filestat_set_times": "iIIi",
    "fd_pread": "iiiIi",
    "fd_prestat_dir_name": "iii",
    "fd_prestat_get": "ii",
    "fd_pwrite": "iiiIi",
    "fd_read": "iiii",
    "fd_readdir": "iiiIi",
    "fd_renumber": "ii",
    "fd_seek": "iIii",
    "fd_sync": "i",
    "fd_tell": "ii",
    "fd_write": "iiii",
    "path_create_directory": "iii",
    "path_filestat_get": "iiiii",
    "path_filestat_set_times": "iiiiIIi",
    "path_link": "iiiiiii",
    "path_open": "iiiiiIIii",
    "path_readlink": "iiiiii",
    "path_remove_directory": "iii",
    "path_rename": "iiiiii",
    "path_symlink": "iiiii",
    "path_unlink_file": "iii",
    "poll_oneoff": "iiii",
    "proc_exit": "i",
    "proc_raise": "i",
    "random_get": "ii",
    "sched_yield": "",
    "sock_accept": "iii",
    "sock_recv": "iiiiii",
    "sock_send": "iiiii",
    "sock_shutdown": "ii",
}
_WITHOUT_RESULT = frozenset(("proc_exit",))


def _type(parameters: str, results: str) -> FunctionType:
    return FunctionType(b"".join(map(_CODES.__getitem__, parameters)), b"".join(map(_CODES.__getitem__, results)))


IMPORTS: dict[tuple[str, str], FunctionType] = {
    **{(WASI, name): _type(found, "" if name in _WITHOUT_RESULT else "i") for name, found in _PARAMETERS.items()},
    ("env", "abort"): _type("iiii", ""),
}
"""The allow-list: type by module and name."""
