"""The runner as Ray starts it: one that takes no jobs on a machine whose Ray lets strangers in."""

from ray._raylet import AuthenticationMode, get_authentication_mode  # what Ray's own errors ask; it has no public name

from icn.adapters.cluster import messages
from icn.adapters.cluster.messages import RunnerState, RunnerTerms
from icn.adapters.cluster.runner import Runner


class RayRunner(Runner):
    """See `Runner`. TLS needs no such look: whoever lacks it cannot be talked to by who has it."""

    async def begin(self, terms: bytes, places: int) -> bytes:
        """See `Runner.begin`."""
        required = messages.decode(RunnerTerms, terms).token_required
        if required and get_authentication_mode() != AuthenticationMode.TOKEN:
            why = "its Ray was started without token authentication (RAY_AUTH_MODE=token)"
            return messages.encode(RunnerState(places=0, isolation=(), refusal=why, lacks=()))
        return await super().begin(terms, places)
