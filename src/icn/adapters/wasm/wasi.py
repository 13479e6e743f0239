"""WASI preview 1 for a guest that has arguments, standard input, output and error, and nothing else.

Names, numbers and layouts are those of the preview 1 witx documents. Deterministic throughout: the clocks show the
virtual time of `guest`, `random_get` is a function of the job, `poll_oneoff` lets virtual time pass (and charges it
as fuel) instead of sleeping. There are no directories, so every path function finds no descriptor to start from.
"""

import struct
from collections.abc import Callable

from icn.adapters.wasm import bounds
from icn.adapters.wasm.guest import EPOCH_NS, HOST_CALL_FUEL, STDERR, STDIN, BadAddress, Guest, GuestStopped
from icn.domain.mesh.execution import ExitKind

SUCCESS, BADF, FAULT, INVAL, NOSYS, NOTDIR, NOTSOCK, NOTSUP, SPIPE = 0, 8, 21, 28, 52, 54, 57, 58, 70

_BYTE_FUEL = 1
_RANDOM_BYTE_FUEL = 4

_CLOCKS = {0: EPOCH_NS, 1: 0, 2: 0, 3: 0}
"""What each clock (realtime, monotonic, process and thread CPU time) shows at the start."""
_TAG_CLOCK, _TAG_READ, _TAG_WRITE = range(3)
_SUBSCRIPTION_BYTES = 48
_ABSOLUTE = 1
_ON_A_PIPE = {"fd_": NOTSUP, "path_": NOTDIR, "sock_": NOTSOCK}
"""What a function answers on one of a guest's three descriptors, which are neither files, directories nor sockets."""
_RIGHT_READ, _RIGHT_WRITE, _RIGHT_STAT, _RIGHT_POLL = 1 << 1, 1 << 6, 1 << 21, 1 << 27

Call = Callable[..., int]


def calls(guest: Guest) -> dict[str, Call]:
    """The functions that do something, by name, for one guest. All others are `unavailable`."""
    found = Preview1(guest)
    return {name: getattr(found, name) for name in vars(Preview1) if not name.startswith("_")}


def answer(guest: Guest, call: Call, arguments: tuple[int, ...]) -> int:
    """Charge for a call, make it, and answer with an error number."""
    guest.charge(HOST_CALL_FUEL)
    try:
        return call(*arguments)
    except BadAddress:
        return FAULT


def unavailable(guest: Guest, name: str, arguments: tuple[int, ...]) -> int:
    """The answer of a function this host does not offer: no such descriptor, or not on this one."""
    guest.charge(HOST_CALL_FUEL)
    family = name[: name.find("_") + 1]
    if family not in _ON_A_PIPE:
        return NOSYS
    # The text that a symbolic link is to have stands before the directory it is made in.
    descriptor = arguments[2] if name == "path_symlink" else arguments[0]
    return _ON_A_PIPE[family] if descriptor in guest.open_descriptors else BADF


class Preview1:
    """Public methods are WASI functions: arguments as unsigned numbers, an error number as the answer."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def args_sizes_get(self, count_at: int, bytes_at: int) -> int:
        """How many arguments, and their bytes with terminators."""
        self._put(count_at, "<I", len(self._guest.arguments))
        self._put(bytes_at, "<I", sum(len(argument) + 1 for argument in self._guest.arguments))
        return SUCCESS

    def args_get(self, pointers_at: int, text_at: int) -> int:
        """Pointers to the arguments, and the arguments, each behind the other."""
        for number, argument in enumerate(self._guest.arguments):
            self._put(pointers_at + 4 * number, "<I", text_at)
            self._guest.write(text_at, argument + b"\0")
            text_at += len(argument) + 1
        return SUCCESS

    def environ_sizes_get(self, count_at: int, bytes_at: int) -> int:
        """The environment is empty."""
        self._put(count_at, "<I", 0)
        self._put(bytes_at, "<I", 0)
        return SUCCESS

    def environ_get(self, _pointers_at: int, _text_at: int) -> int:
        """Nothing to write for an empty environment."""
        return SUCCESS

    def clock_res_get(self, clock: int, resolution_at: int) -> int:
        """One nanosecond for each clock."""
        if clock not in _CLOCKS:
            return INVAL
        self._put(resolution_at, "<Q", 1)
        return SUCCESS

    def clock_time_get(self, clock: int, _precision: int, time_at: int) -> int:
        """Virtual time since the start, on top of what the clock shows then."""
        if clock not in _CLOCKS:
            return INVAL
        self._put(time_at, "<Q", _CLOCKS[clock] + self._guest.clock_ns())
        return SUCCESS

    def random_get(self, address: int, size: int) -> int:
        """Bytes that follow from the job's id and nothing else."""
        self._guest.require(address, size)
        self._guest.charge(size * _RANDOM_BYTE_FUEL)
        for done in range(0, size, bounds.HOST_CHUNK_BYTES):
            chunk = min(bounds.HOST_CHUNK_BYTES, size - done)
            self._guest.write(address + done, self._guest.random(chunk))
        return SUCCESS

    def sched_yield(self) -> int:
        """There is nobody to yield to."""
        return SUCCESS

    def proc_exit(self, code: int) -> int:
        """Ends the guest with an exit code."""
        raise GuestStopped(ExitKind.COMPLETED, exit_code=code)

    def fd_write(self, descriptor: int, vectors_at: int, vectors: int, written_at: int) -> int:
        """Standard output is the result; standard error is kept in part, for people."""
        if descriptor == STDIN or descriptor not in self._guest.open_descriptors:
            return BADF
        if vectors > bounds.VECTORS_MAX:
            return INVAL
        # Every address is tried first: what a guest believes was not written must not be in its output.
        self._put(written_at, "<I", 0)
        total, buffers = 0, self._vectors(vectors_at, vectors)
        for address, size in buffers:
            self._guest.require(address, size)
        for address, size in buffers:
            self._guest.charge(size * _BYTE_FUEL)
            for done in range(0, size, bounds.HOST_CHUNK_BYTES):
                chunk = self._guest.read(address + done, min(bounds.HOST_CHUNK_BYTES, size - done))
                if descriptor == STDERR or not self._guest.stdout_is_output:
                    self._guest.diagnose(chunk)
                else:
                    self._guest.emit(chunk)
            total += size
        self._put(written_at, "<I", total & 0xFFFFFFFF)
        return SUCCESS

    def fd_read(self, descriptor: int, vectors_at: int, vectors: int, read_at: int) -> int:
        """Standard input is the job's input."""
        if descriptor != STDIN or descriptor not in self._guest.open_descriptors:
            return BADF
        if vectors > bounds.VECTORS_MAX:
            return INVAL
        guest, total = self._guest, 0
        for address, size in self._vectors(vectors_at, vectors):
            chunk = guest.stdin[guest.stdin_position : guest.stdin_position + size]
            guest.charge(len(chunk) * _BYTE_FUEL)
            guest.write(address, chunk)
            guest.stdin_position += len(chunk)
            total += len(chunk)
        self._put(read_at, "<I", total)
        return SUCCESS

    def fd_close(self, descriptor: int) -> int:
        """Afterwards the descriptor does not exist."""
        if descriptor not in self._guest.open_descriptors:
            return BADF
        self._guest.open_descriptors.remove(descriptor)
        return SUCCESS

    def fd_seek(self, descriptor: int, _offset: int, _whence: int, _position_at: int) -> int:
        """The three descriptors are pipes."""
        return SPIPE if descriptor in self._guest.open_descriptors else BADF

    def fd_tell(self, descriptor: int, _position_at: int) -> int:
        """The three descriptors are pipes."""
        return SPIPE if descriptor in self._guest.open_descriptors else BADF

    def fd_sync(self, descriptor: int) -> int:
        """Nothing is buffered here."""
        return SUCCESS if descriptor in self._guest.open_descriptors else BADF

    def fd_datasync(self, descriptor: int) -> int:
        """As `fd_sync`."""
        return self.fd_sync(descriptor)

    def fd_fdstat_set_flags(self, descriptor: int, _flags: int) -> int:
        """Accepted without effect: no call ever blocks."""
        return self.fd_sync(descriptor)

    def fd_fdstat_get(self, descriptor: int, stat_at: int) -> int:
        """A pipe that can be read or written."""
        if descriptor not in self._guest.open_descriptors:
            return BADF
        rights = _RIGHT_STAT | _RIGHT_POLL | (_RIGHT_READ if descriptor == STDIN else _RIGHT_WRITE)
        # File type "unknown", as for a pipe: a C library that saw a character device would write line by line.
        self._put(stat_at, "<BxHxxxxQQ", 0, 0, rights, 0)
        return SUCCESS

    def fd_filestat_get(self, descriptor: int, stat_at: int) -> int:
        """All zeros but one link: there is no file behind."""
        if descriptor not in self._guest.open_descriptors:
            return BADF
        self._put(stat_at, "<QQQQQQQQ", 0, 0, 0, 1, 0, 0, 0, 0)
        return SUCCESS

    def poll_oneoff(self, subscriptions_at: int, events_at: int, count: int, events_count_at: int) -> int:
        """Descriptors are always ready. With only clocks to wait for, virtual time passes until the first is due."""
        if not 0 < count <= bounds.SUBSCRIPTIONS_MAX:
            return INVAL
        events: list[bytes] = []
        waits: list[tuple[int, bytes]] = []
        subscriptions = self._guest.read(subscriptions_at, _SUBSCRIPTION_BYTES * count)
        for start in range(0, len(subscriptions), _SUBSCRIPTION_BYTES):
            userdata, tag = struct.unpack_from("<QB", subscriptions, start)
            if tag == _TAG_CLOCK:
                clock, timeout, _precision, flags = struct.unpack_from("<IxxxxQQH", subscriptions, start + 16)
                if clock in _CLOCKS:
                    shown = _CLOCKS[clock] + self._guest.clock_ns() if flags & _ABSOLUTE else 0
                    waits.append((max(0, timeout - shown), _event(userdata, SUCCESS, tag)))
                else:
                    events.append(_event(userdata, INVAL, tag))
            elif tag in {_TAG_READ, _TAG_WRITE}:
                (descriptor,) = struct.unpack_from("<I", subscriptions, start + 16)
                events.append(self._readiness(userdata, tag, descriptor))
            else:
                return INVAL
        if not events:
            shortest = min(wait for wait, _ in waits)
            self._guest.charge(shortest)
            events = [event for wait, event in waits if wait == shortest]
        self._guest.write(events_at, b"".join(events))
        self._put(events_count_at, "<I", len(events))
        return SUCCESS

    def _readiness(self, userdata: int, tag: int, descriptor: int) -> bytes:
        if descriptor not in self._guest.open_descriptors or (tag == _TAG_READ) != (descriptor == STDIN):
            return _event(userdata, BADF, tag)
        left = len(self._guest.stdin) - self._guest.stdin_position if tag == _TAG_READ else bounds.HOST_CHUNK_BYTES
        return _event(userdata, SUCCESS, tag, left)

    def _vectors(self, address: int, count: int) -> list[tuple[int, int]]:
        return list(struct.iter_unpack("<II", self._guest.read(address, 8 * count)))

    def _put(self, address: int, layout: str, *values: int) -> None:
        self._guest.write(address, struct.pack(layout, *values))


def _event(userdata: int, error: int, tag: int, ready_bytes: int = 0) -> bytes:
    return struct.pack("<QHBxxxxxQHxxxxxx", userdata, error, tag, ready_bytes, 0)


def abort(guest: Guest, arguments: tuple[int, ...]) -> int:
    """AssemblyScript's `env.abort(message, file, line, column)`: ends the guest as a trap does."""
    guest.charge(HOST_CALL_FUEL)
    _message, _file, line, column = arguments
    raise GuestStopped(ExitKind.TRAPPED, detail=f"abort at line {line}, column {column}")
