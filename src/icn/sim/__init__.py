"""A world from a seed: the shipped core under simulated time, network, disk and executors."""
