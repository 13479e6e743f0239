"""A federation of real `icn-node` processes on this machine, to try things with and to break.

One folder holds all of a devnet: keys, data, logs, and `devnet.json`, which says what was started. Nodes listen on
loopback, on ports that the system chose, so that several devnets run side by side. Processes are known by their id and
start time, and nothing else is ever signalled.

Not here: containers; nodes of other machines; PostgreSQL, whose server a devnet would have to bring along.
"""
