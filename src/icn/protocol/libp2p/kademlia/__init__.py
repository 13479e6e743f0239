"""Kademlia as libp2p has it: how nodes find each other without a list of everybody.

Source: https://github.com/libp2p/specs/tree/master/kad-dht. Read `machine` first; it is the whole of it, and the other
modules are its parts. Bytes in, effects out; time is an argument.

Not here: values and providers. Nodes of a federation look for each other and keep their data elsewhere, so a node
answers such requests as one that stores nothing (`serving`) and makes none.
"""
