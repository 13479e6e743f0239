"""What this node's guests are sealed with: said at every start, and less than was asked for stops it."""

import asyncio

import structlog

from icn.adapters.wasm.attendant import IsolationMissing
from icn.adapters.wasm.pool import NoWorker
from icn.adapters.wasm.ports import Executor
from icn.adapters.wasm.settings import Isolation
from icn.kernel.errors import ConfigError, Fault

log = structlog.get_logger()


async def require_isolation(sandbox: Executor, asked: str) -> None:
    """Wait for the first worker and log what seals it.

    Closes `sandbox` before it raises: `ConfigError`, or the fault for which nothing can be run at all.
    """
    try:
        parts = await asyncio.to_thread(sandbox.isolation)
    except IsolationMissing as error:
        await asyncio.to_thread(sandbox.close)
        raise ConfigError(
            f'executor.isolation = "{asked}" asks for more than can be had: {error}. Let the system give it '
            '(docs/sandbox.md says how), or accept less by this setting, down to "limits"'
        ) from error
    except NoWorker as error:
        log.warning("sandbox", detail=f"{error}; jobs end as lost until one can")
        return
    except Fault:
        await asyncio.to_thread(sandbox.close)
        raise
    lacks = Isolation.FULL.missing(parts)
    say = log.warning if lacks else log.info
    say("sandbox", sealed_with=sorted(parts), without=lacks)
