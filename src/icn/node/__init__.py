"""icn-node: the daemon. The only place, with adapters and http, that has threads, sockets and a clock of its own."""
