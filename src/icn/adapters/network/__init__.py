"""Networks: peers and framed messages between them, over libp2p (`tcp`) or within one process (`loopback`)."""
