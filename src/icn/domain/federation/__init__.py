"""Who belongs together: genesis, policy, membership (semantics §3, §8)."""
