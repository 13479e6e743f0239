"""Where an engine's errors become the faults of the storage port: the frame; each engine says what its errors mean."""

from abc import ABC, abstractmethod
from types import TracebackType

from icn.kernel.errors import IcnError


class EngineEdge(ABC):
    """A context manager: errors of the engine come out of it as ours. Holds no state, so one serves a whole store."""

    __slots__ = ()

    def __enter__(self) -> None:  # noqa: B027 - there is nothing to do on the way in
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and (fault := self._fault_of(error)) is not None:
            raise fault from error

    @abstractmethod
    def _fault_of(self, error: BaseException) -> IcnError | None:
        """What it is to the port; None for what is not the engine's."""
