"""The libp2p subset we speak: TCP connections upgraded by multistream-select, Noise XX and Yamux; identify; ping.

Written from the specifications, as machines without input or output of their own: bytes in, bytes and events out.
`connection.Connection` composes them; everything else here can be read and tested alone.

Not here: sockets and timers (`adapters.network`), what ICN says on its streams (`protocol.messages`), TLS, QUIC,
RSA or secp256k1 identities, gossipsub, Kademlia.
"""
