"""Every bound of the cluster executor that an operator does not choose. Times are in seconds."""

from icn.kernel.limits import CONTENT_BYTES_MAX, JOB_MEMORY_BYTES_MAX, MIB

# A runner and its lease.
PING_EVERY_S = 1.0
LEASE_S = 15.0
"""A runner that has not heard from its bridge for this long ends itself, and its guests with it."""
LEASE_GRACE_S = 1.0
"""Beyond the lease, until nothing can compute there any more."""

# Membership.
LOOK_EVERY_S = 1.0
HEAD_ANSWERS_S = 5.0
"""For the head to say who is there."""
REFUSED_RETRY_S = 60.0
"""A machine that cannot take jobs is asked again this often: what was missing may have been put right."""
RUNNER_RETRY_S = 1.0
"""After a runner was lost."""
FIRST_LOOK_S = 60.0
"""For the machines that are there at the start to say what they have. Who says it later joins later."""
MACHINES_MAX = 256
WORKERS_PER_MACHINE_MAX = 1024
MEMORY_PER_WORKER_BYTES = JOB_MEMORY_BYTES_MAX
"""Of a machine, for each worker that it gets by itself: the largest job finds a place anywhere."""

# Node and bridge.
KNOCK_S = 10.0
"""For the cluster's head to take a connection."""
CONNECT_S = 60.0
"""For the bridge to start and to reach the cluster."""
ALIVE_EVERY_S = 2.0
SILENCE_S = 20.0
"""A bridge that says nothing for this long hangs, and is ended."""
BRIDGE_RETRY_S = 1.0
BRIDGE_RETRY_MAX_S = 30.0
CLOSE_S = 4.0
"""From the request to end until the bridge is killed."""
END_RUNNER_S = 2.5
"""Of that, for runners to end their guests."""
FRAME_BYTES_MAX = 2 * CONTENT_BYTES_MAX + MIB
"""The largest: a module and an input, with what describes them; an output is smaller."""

# Ray's object store.
BY_REFERENCE_BYTES = 64 * 1024
"""What is larger is put there, once; what is smaller travels with each call."""
OBJECTS_BYTES_MAX = 64 * MIB
"""Kept there for the next job that needs the same."""

WHY_CHARS_MAX = 200
"""Of a reason somebody else gave."""
