"""Random bytes from the operating system, for keys, ids, nonces and tokens."""

import os


class SystemEntropy:
    """Satisfies the services' `Entropy`. From any thread."""

    def bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes."""
        return os.urandom(count)
