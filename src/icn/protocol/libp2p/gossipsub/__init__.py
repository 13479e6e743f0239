"""gossipsub 1.1: messages to everybody who subscribed to a topic, each over a few peers only.

Sources: https://github.com/libp2p/specs/tree/master/pubsub (the RPC, signing) and its `gossipsub/gossipsub-v1.0.md` and
`gossipsub/gossipsub-v1.1.md` (called 1.0 and 1.1 beside the lines that enforce them).

`router.Router` is the machine: inputs (`inputs`) in, effects (`effects`) out. The others are its parts: `rpc` bytes to
messages and back, `signing` who wrote one, `seen` which came before, `message_cache` which can be asked for, `overlay`
who is in the mesh, `lazy` what is advertised and asked for, `scoring` what is thought of a peer.
"""
