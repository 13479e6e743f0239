"""Every bound of the core, with its unit in its name. What an operator may change is a settings type, not here.

Everything has a limit; the only question is who chooses it (TigerBeetle).
"""

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# The DAG.
BLOCK_BYTES_MAX = 1 * MIB
"""An encoded signed block (semantics §2)."""
CONTENT_BYTES_MAX = 8 * MIB
"""A content block: members' data, job modules, inputs, outputs."""
CONTENT_LINKS_MAX = 16_384
"""Different blocks that one content block links to: each is an entry of the store."""
PARENTS_MAX = 256
"""Heads of other feeds that one block names."""
RECORDS_PER_BLOCK_MAX = 4096
PROOFS_PER_BLOCK_MAX = 64
"""Forks that one block proves: whoever takes it fetches two blocks for each."""
CLOCK_AHEAD_MS_MAX = 15_000
"""A block dated further ahead than this waits in quarantine until its time comes; it is not refused."""

# CAR files.
CAR_HEADER_BYTES_MAX = 256 * KIB
"""The header of a CAR: its roots, about 40 bytes each."""
CAR_CID_BYTES_MAX = 512
"""The name of one block in a CAR; identity CIDs carry their content in it."""
CAR_SECTION_BYTES_MAX = CONTENT_BYTES_MAX + CAR_CID_BYTES_MAX
"""One block of a CAR with its name."""
CAR_PADDING_BYTES_MAX = 16 * MIB
"""What may lie between the head of a CARv2 and its blocks."""

# Group commit.
BATCH_INPUTS_MAX = 1024
"""Inputs decided in one durable commit."""
QUEUE_INPUTS_MAX = 8192
"""Inputs waiting for the writer; beyond it callers get `too_many`."""
QUEUE_BYTES_MAX = 128 * MIB
"""The same in bytes, as they came from peers: chunks of content under way fit in twice."""

# Replication.
QUARANTINE_BLOCKS_MAX = 4096
QUARANTINE_BYTES_MAX = 64 * MIB
QUARANTINE_PER_PEER_MAX = 1024
CATCHUP_BYTES_MAX = 2 * MIB
"""Blocks in one answer to a catch-up request."""
CATCHUP_BLOCKS_MAX = 512
WANTED_BLOCKS_MAX = 64
"""Signed blocks asked for by name in one message."""
ANNOUNCE_BYTES_MAX = 1 * MIB
CLOCK_ENTRIES_MAX = 4096
"""Feeds named in one message. A federation may have more (`services.telling`)."""

# Wire messages between nodes.
MESSAGE_BYTES_MAX = 4 * MIB
CHUNK_BYTES_MAX = 1 * MIB
"""Content travels in chunks of this size."""
FETCHES_IN_FLIGHT_MAX = 64
FETCHES_QUEUED_MAX = 4096
FETCHES_BYTES_MAX = 64 * MIB
"""Content being fetched of which more than the first chunk may be in memory."""
OUTBOX_PER_PEER_MAX = 4096
PEER_QUEUE_BYTES_MAX = 16 * MIB
"""What may wait to be sent to one peer before messages to it are dropped (catch-up and the outbox repair that)."""

# Membership.
INVITATIONS_OPEN_MAX = 64
"""Of one node: issued, and neither used, revoked nor expired."""
INVITATION_DAYS_MAX = 90
"""From its issue until it expires."""
INVITATION_NOTE_CHARS_MAX = 120
INVITATION_ADDRESSES_MAX = 8
INVITATION_ADDRESS_CHARS_MAX = 256
INVITATION_BYTES_MAX = 4 * KIB
"""The paper, sealed. Its line has a third more characters."""
PRESENTATIONS_PER_CONNECTION_MAX = 8
"""Invitations that one peer may present; each costs the issuer a signature to verify."""

# Accounts.
GRANTS_PER_NODE_MAX = 1000
REPLIES_PER_PRINCIPAL_MAX = 10_000
"""Stored answers to request keys; the oldest go first."""
REQUEST_KEY_CHARS_MAX = 128
NOTE_CHARS_MAX = 512
REMOVAL_REASON_CHARS_MAX = 240
REMOVALS_SAID_MAX = 4
"""Records in one feed that say of one node that it is removed; later ones are void. Each costs everybody a look at who
has voted, and one that counts a replay. An honest member says it once, and again only where that was undone."""

# Jobs.
JOBS_OPEN_MAX = 10_000
"""Jobs of this home that have not ended."""
JOB_ATTEMPTS_MAX = 100
"""Attempts at one job: a job tells of everyone that failed, in one row at every node."""
JOB_INPUT_BYTES_MAX = 256 * KIB
"""Inline input; more goes by CID."""
JOB_ARGUMENTS_MAX = 64
JOB_ARGUMENT_BYTES_MAX = 4 * KIB
BIDS_PER_ATTEMPT_MAX = 1024
REDUNDANCY_MAX = 9
FUEL_MAX = 2**53 - 1
JOB_MEMORY_BYTES_MAX = 1024 * MIB
JOB_TABLE_ELEMENTS_MAX = 1_000_000
JOB_WALL_MS_MAX = 3_600_000
JOB_OUTPUT_BYTES_MAX = CONTENT_BYTES_MAX

INSTANT_MAX = 2**53 - 1
"""Milliseconds: exact in JSON, and beyond anybody's planning."""

# Queries.
PAGE_ROWS_MAX = 500
