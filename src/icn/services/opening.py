"""An engine over an open store: its format brought up, its authorship claimed, its state loaded, its services made."""

from icn.domain.mesh.admission import Admission
from icn.kernel.signing import Signer
from icn.services import rows
from icn.services.authorship import Authorship
from icn.services.bidding import Biddings
from icn.services.capacity import Capacity
from icn.services.changing import ChangingService
from icn.services.content import ContentService
from icn.services.dispatch import Dispatch
from icn.services.engine import Engine
from icn.services.equivocation import Equivocations
from icn.services.executing import ExecutorService
from icn.services.inviting import InvitingService
from icn.services.joining import JoiningService
from icn.services.mending import MendingService
from icn.services.mesh import HomeService
from icn.services.offering import OfferingService
from icn.services.peers import Peers
from icn.services.pledging import PledgingService
from icn.services.ports import Clock, Entropy, HeadMarker
from icn.services.pruning import PruningService
from icn.services.reception import Reception
from icn.services.rechecking import RecheckService
from icn.services.replay import rebuild
from icn.services.replication import ReplicationService
from icn.services.seeking import SeekingService
from icn.services.settings import NodeTerms
from icn.stores import contents
from icn.stores.changeover import given_up
from icn.stores.kv import KeyValueStore
from icn.stores.outbox import Outbox
from icn.stores.replies import Replies
from icn.stores.schema import STORE_ID_BYTES, check_or_claim, upgrades


def open_engine(
    *,
    store: KeyValueStore,
    clock: Clock,
    entropy: Entropy,
    signer: Signer,
    terms: NodeTerms,
    marker: HeadMarker | None = None,
) -> Engine:
    """Become the author of the store and load its state. `marker`: none for a store that ends with the process.

    Raises:
        StoreNewer, ForeignStore: the store is not for this program or this key. One of an earlier format is brought
            to this one.
        StoreCorrupt: it is of an earlier format and cannot be brought up, for its journal is damaged.
        InvariantBroken: its rows and its journal do not belong together.
        HeadMarkFailed: the head mark cannot be written.
    """
    store_id = entropy.bytes(STORE_ID_BYTES)
    first = check_or_claim(store, signer.did, store_id)
    fence = store.claim()
    if first.operations:
        store.commit(first, fence)
    for step in upgrades(store, store_id, rebuild):
        store.commit(step, fence)
    peers = Peers()
    state = rows.load(store)
    authorship = Authorship.open(
        store=store,
        fence=fence,
        did=signer.did,
        state=state,
        peers=peers,
        reach_within=terms.replication.reach_within,
        marker=marker,
        now=clock.now(),
    )
    forks = Equivocations(signer.did)
    forks.load(store, state)
    authorship.forked_at = forks.own_fork
    replication = ReplicationService.of(terms, peers, authorship, forks)
    if (sought := authorship.target) is not None and state.federation.federation is None:
        replication.arrivals.target, replication.arrivals.is_pinned = sought.federation, True
    replication.former = given_up(store)
    inviting = InvitingService(entropy, peers)
    joining = JoiningService.of(replication, store, state, terms.invited)
    content = ContentService(terms.replication.answer_patience, replication.damage)
    pruning = PruningService(terms.prune_every, content)
    mending = MendingService(peers, content)
    admission = Admission(terms.mesh.submissions_per_minute)
    recheck = RecheckService(content, terms.recheck_percent)
    biddings = Biddings(peers, executes=terms.executor.capacity > 0)
    home = HomeService(terms, peers, content, admission, recheck, biddings)
    offering = OfferingService(terms.executor, Capacity(terms.executor.capacity, terms.executor.memory_bytes))
    offering.unsettled.load(store)
    pledging = PledgingService(content, entropy, offering.unsettled)
    executor = ExecutorService(terms, peers, content, offering, pledging)
    changing = ChangingService(peers, offering.unsettled, terms.executor.unsettled_after)
    changing.load(store)
    seeking = SeekingService(changing, replication)
    seeking.load(store)
    return Engine(
        store=store,
        clock=clock,
        signer=signer,
        terms=terms,
        fence=fence,
        state=state,
        outbox=Outbox.load(store),
        replies=Replies.load(store),
        peers=peers,
        authorship=authorship,
        replication=replication,
        inviting=inviting,
        joining=joining,
        seeking=seeking,
        forks=forks,
        changing=changing,
        content=content,
        pruning=pruning,
        mending=mending,
        home=home,
        executor=executor,
        reception=Reception(
            peers,
            replication,
            inviting,
            joining,
            seeking,
            content,
            home,
            executor,
            executes=terms.executor.capacity > 0,
        ),
        dispatch=Dispatch(
            entropy,
            replication,
            inviting,
            joining,
            seeking,
            changing,
            pruning,
            mending,
            home,
            content,
            peers,
            authorship,
            executor,
        ),
        marked_at=contents.last_time_mark(store),
    )
