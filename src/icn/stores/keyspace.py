"""Every key layout of the store, in one table. Integers are big-endian, so that order by key is order by number.

| key | value |
|---|---|
| `b` cid | bytes of a signed block or a content block |
| `m` cid | `BlockMeta` of a signed block: its arrival number and clock |
| `f` public key, sequence | cid of that block of the feed |
| `j` arrival | cid: the journal, in the order blocks came to this store |
| `t` event name, 0, arrival | empty: which blocks of the journal hold such an event |
| `g` job id, arrival | empty: which blocks of the journal tell of that job |
| `q` job id | the correlation id of the request that opened that job, where it had one |
| `k` receipt cid, arrival | empty: in which blocks of the journal that receipt stands |
| `v` cid | empty: a signed block that is in no feed, and kept to prove that its author forked |
| `c` cid | `ContentMeta` of a content block |
| `n` change | cid: content blocks, in the order this store got or last changed them |
| `w` wall clock | `TimeMark`: which arrival and change numbers were the next ones at that time |
| `l` target cid, `c` or `j`, source | empty: that content (cid) links to the target, or that job (id) names it |
| `p` table, key | a row of a projection |
| `o` public key, number | a message to that peer, until it is acknowledged |
| `r` principal, 0, request key | a stored answer |
| `x` name | one value about the store itself |
"""

from icn.kernel.ids import Cid, Did, JobId

U64_BYTES = 8
BLOCK = b"b"
BLOCK_META = b"m"
FEED = b"f"
JOURNAL = b"j"
EVENT_TYPE = b"t"
JOB_EVENT = b"g"
JOB_CORRELATION = b"q"
RECEIPT = b"k"
EVIDENCE = b"v"
CONTENT_META = b"c"
CONTENT_CHANGE = b"n"
TIME_MARK = b"w"
REFERENCE = b"l"
PROJECTION = b"p"
OUTBOX = b"o"
REPLY = b"r"
ABOUT = b"x"

LOCAL_TABLES = ("cancelled", "pledged_receipt", "receipt_taken", "unsettled")
"""Projections of this node's own conversations, which the journal does not tell."""


def u64(number: int) -> bytes:
    """Eight bytes, big-endian."""
    return number.to_bytes(U64_BYTES, "big")


def block(cid: Cid) -> bytes:
    """Where a block's bytes stand."""
    return BLOCK + cid.data


def block_meta(cid: Cid) -> bytes:
    """Where a signed block's arrival and clock stand."""
    return BLOCK_META + cid.data


def feed(author: Did) -> bytes:
    """Prefix of an author's feed."""
    return FEED + author.public_key


def feed_entry(author: Did, sequence: int) -> bytes:
    """Where the CID of (author, sequence) stands."""
    return feed(author) + u64(sequence)


def journal_entry(arrival: int) -> bytes:
    """Where the CID of the block that came as number `arrival` stands."""
    return JOURNAL + u64(arrival)


def event_type(name: str) -> bytes:
    """Prefix of the journal entries that hold an event of this name."""
    return EVENT_TYPE + name.encode() + b"\0"


def job_events(job: JobId) -> bytes:
    """Prefix of the journal entries that tell of this job."""
    return JOB_EVENT + job.data


def job_correlation(job: JobId) -> bytes:
    """Where the correlation id of the request that opened this job stands."""
    return JOB_CORRELATION + job.data


def receipts(cid: Cid) -> bytes:
    """Prefix of the journal entries that hold this receipt."""
    return RECEIPT + cid.data


def evidence(cid: Cid) -> bytes:
    """Where it is noted that a block proves a fork."""
    return EVIDENCE + cid.data


def content_meta(cid: Cid) -> bytes:
    """Where pin and time-to-live of a content block stand."""
    return CONTENT_META + cid.data


def content_change(number: int) -> bytes:
    """Where the CID of the content that last changed as number `number` stands."""
    return CONTENT_CHANGE + u64(number)


def time_mark(wall: int) -> bytes:
    """Where the numbers of that millisecond stand."""
    return TIME_MARK + u64(wall)


def references(target: Cid) -> bytes:
    """Prefix of what refers to a content block."""
    return REFERENCE + target.data


def projection(table: str) -> bytes:
    """Prefix of a projection's rows."""
    return PROJECTION + table.encode() + b"\0"


def is_local(key: bytes) -> bool:
    """Whether the key of a projection's row is one of `LOCAL_TABLES`."""
    return key.startswith(tuple(projection(table) for table in LOCAL_TABLES))


def outbox(peer: Did) -> bytes:
    """Prefix of the messages to a peer."""
    return OUTBOX + peer.public_key


def reply(principal: str) -> bytes:
    """Prefix of the answers to one principal."""
    return REPLY + principal.encode() + b"\0"


def about(name: str) -> bytes:
    """Where one value about the store stands."""
    return ABOUT + name.encode()
