"""Values of any dataclass the wire or the journal knows, drawn from its annotations: the same that make the codec."""

import dataclasses
import types
import typing
from enum import Enum
from functools import cache
from typing import Any

from hypothesis import strategies as st

from icn.kernel.ids import DAG_CBOR, RAW, Cid, Did, JobId, PeerId
from support import builders

INTEGERS = st.integers(-(2**64), 2**64 - 1)
TEXTS = st.text(max_size=40)
DIDS = st.integers(1, 30).map(builders.did)
CIDS = st.tuples(st.binary(max_size=4), st.sampled_from((RAW, DAG_CBOR))).map(lambda drawn: Cid.of(*drawn))
JOBS = st.binary(min_size=20, max_size=20).map(JobId)


def values_of(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Any value of a dataclass."""
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{field.name: _of(hints[field.name]) for field in dataclasses.fields(cls)})


@cache
def _of(hint: Any) -> st.SearchStrategy[Any]:
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    known: dict[Any, st.SearchStrategy[Any]] = {
        int: INTEGERS,
        bool: st.booleans(),
        str: TEXTS,
        bytes: st.binary(max_size=40),
        Did: DIDS,
        PeerId: DIDS.map(PeerId.of),
        Cid: CIDS,
        JobId: JOBS,
    }
    if hint in known:
        return known[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return values_of(hint)
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return st.lists(_of(arguments[0]), max_size=3).map(tuple)
    if types.NoneType in arguments:
        return st.one_of(*(st.none() if a is types.NoneType else _of(a) for a in arguments))
    raise TypeError(f"no values for {hint!r}")
