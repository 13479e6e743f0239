"""Every parameter and bound of the router. The defaults are the published ones, where there are any.

There are no fractions in the core: points and weights are whole thousandths of a point, counters whole millionths
(`scoring`), spans milliseconds.
"""

from dataclasses import dataclass, field

from icn.kernel.limits import BLOCK_BYTES_MAX, KIB, MIB

MESHSUB_1_1 = "/meshsub/1.1.0"
MESHSUB_1_0 = "/meshsub/1.0.0"
MESHSUB = (MESHSUB_1_1, MESHSUB_1_0)
"""The protocols of one RPC format, the preferred one first. 1.1 is "fully backwards compatible with v1.0"."""

SEQNO_BYTES = 8
"""pubsub: "The `seqno` field is a 64-bit big-endian uint"."""
PAYLOAD_BYTES_MAX = BLOCK_BYTES_MAX + 64 * KIB
"""What one publication may carry: the largest block, with what goes around it."""
RPC_BYTES_MAX = 4 * MIB
"""One RPC, received or sent."""
TOPIC_BYTES_MAX = 256
MESSAGE_ID_BYTES_MAX = 256
"""Ours have 46: peer id and sequence number. Other applications choose others."""
ADVERTISED_IDS_MAX = 5_000
"""Ids in one IHAVE, and taken from one RPC; the value of go and js (`MaxIHaveLength`)."""
RPC_FIELDS_MAX = 2 * ADVERTISED_IDS_MAX
"""Of one RPC that comes: all that one IWANT of ours may ask for, however small, and what others say at once."""
RPC_MESSAGES_MAX = 512
"""Of one RPC that is sent. There are routers that give up a stream on which an RPC has more than 1024 fields."""


@dataclass(frozen=True, slots=True)
class OverlaySettings:
    """How many peers a message goes to, and when that is looked after. Names as in the specification."""

    d: int = 6
    d_lo: int = 4
    d_hi: int = 12
    d_score: int = 4
    d_out: int = 2
    """1.1: "Must be less than `D_lo` and at most `D/2`"."""
    d_lazy: int = 6
    gossip_percent: int = 25
    """1.1: "The recommended value for the gossip factor is `0.25`"."""
    heartbeat_ms: int = 1_000
    fanout_ttl_ms: int = 60_000
    flood_publish: bool = True
    """Whether our own messages go to every peer in the topic that scores well enough, not to the mesh only."""
    prune_backoff_ms: int = 60_000
    """1.1: "The recommended duration for the backoff period is 1 minute"."""
    leave_backoff_ms: int = 10_000
    """The same, when we leave a topic: we may be back soon."""
    backoff_ms_max: int = 3_600_000
    """The longest that a peer's PRUNE can keep us away."""
    backoffs_max: int = 16_384
    """Back-offs remembered at one time."""
    graft_flood_ms: int = 10_000
    """A GRAFT within this time of our PRUNE counts twice against the peer."""
    opportunistic_graft_ms: int = 60_000
    """1.1: "The recommended period for opportunistic grafting is 1 minute"."""
    opportunistic_graft_peers: int = 2
    topics_per_peer_max: int = 128
    """Subscriptions remembered of one peer; more of them count against it."""


@dataclass(frozen=True, slots=True)
class GossipSettings:
    """What is remembered, advertised and asked for."""

    cache_windows: int = 5
    advertised_windows: int = 3
    cache_bytes_max: int = 32 * MIB
    """Of messages that can be asked for; the oldest go first."""
    seen_ttl_ms: int = 120_000
    seen_max: int = 32_768
    validating_max: int = 1_024
    """Messages whose verdict is awaited. More are not taken; they are advertised again."""
    validating_bytes_max: int = 32 * MIB
    validating_ms_max: int = 60_000
    """A message without a verdict for this long is ignored: whoever was to judge it has lost it."""
    retransmissions_max: int = 3
    """1.1: "the router responds a limited number of times to each peer"; the value of go and js."""
    answer_bytes_max: int = 4 * MIB
    """Messages sent to one peer for its IWANTs, between two heartbeats."""
    advertisements_max: int = 10
    """IHAVEs taken from one peer between two heartbeats; the value of go and js."""
    ids_max: int = ADVERTISED_IDS_MAX
    """Ids asked of one peer, and looked up for it, between two heartbeats."""
    follow_up_ms: int = 3_000
    """Within this an advertised message must come once it was asked for; the value of go and js."""
    promises_max: int = 4_096
    """Asked messages whose coming is watched."""


@dataclass(frozen=True, slots=True)
class TopicScoring:
    """What one topic adds to a peer's score: P1 to P4. `per_million` is a decay factor.

    The defaults are for topics whose messages come rarely and unevenly. Being late or silent (P3) then costs less than
    being there (P1) earns, so that alone it makes nobody negative: a leaf, to which every message comes through us, has
    nothing to bring us. What a peer sends that is invalid (P4) costs a hundred points for the first.
    """

    weight: int = 1_000
    time_in_mesh_weight: int = 10
    time_in_mesh_quantum_ms: int = 1_000
    time_in_mesh_cap: int = 600
    first_deliveries_weight: int = 1_000
    first_deliveries_cap: int = 50
    first_deliveries_decay: int = 987_290
    mesh_deliveries_weight: int = -200
    mesh_deliveries_decay: int = 987_290
    mesh_deliveries_threshold: int = 5
    mesh_deliveries_cap: int = 50
    mesh_deliveries_share: int = 250
    """Of the messages that came while it was in the mesh, how many thousandths a peer should have brought as well. The
    threshold applies as far as this allows: where nothing was published, nobody owes anything. The specification has
    the threshold alone, for topics with a steady flow."""
    mesh_deliveries_activation_ms: int = 600_000
    mesh_deliveries_window_ms: int = 2_000
    mesh_failure_weight: int = -200
    mesh_failure_decay: int = 987_290
    invalid_weight: int = -100_000
    invalid_decay: int = 987_290


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """What makes a score, and what follows from it. Scores are thousandths of a point.

    Thresholds and the weights of P4, P6 and P7 are those published for Filecoin's block topic.
    """

    topic: TopicScoring = field(default_factory=TopicScoring)
    """For every topic that we are subscribed to."""
    topics_cap: int = 100_000
    """`TopicCap`: the most that all topics together can earn."""
    application_weight: int = 1_000
    colocation_weight: int = -100_000
    colocation_threshold: int = 5
    behaviour_weight: int = -10_000
    behaviour_threshold: int = 6
    """P7 counts from here: what goes wrong in passing between honest peers costs nothing."""
    behaviour_decay: int = 987_290
    decay_every_ms: int = 10_000
    """The factors above take a counter from one to the hundredth, where it becomes nothing, in an hour."""
    retain_ms: int = 3_600_000
    retained_max: int = 1_024
    """Peers that are gone and whose scores are remembered; who left first is forgotten first."""
    gossip_threshold: int = -500_000
    publish_threshold: int = -1_000_000
    graylist_threshold: int = -2_500_000
    opportunistic_graft_threshold: int = 3_500


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """All of it."""

    overlay: OverlaySettings = field(default_factory=OverlaySettings)
    gossip: GossipSettings = field(default_factory=GossipSettings)
    scores: ScoreSettings = field(default_factory=ScoreSettings)
    payload_bytes_max: int = PAYLOAD_BYTES_MAX
    rpc_bytes_max: int = RPC_BYTES_MAX
