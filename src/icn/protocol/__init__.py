"""Wire conversations as state machines: bytes and messages in, bytes and effects out. No sockets, clocks or randomness.

Time is an argument and every random byte is handed in, so a conversation replays exactly. Sockets are in
`adapters.network`.
"""
