"""One writer, one commit: what callers may rely on when the disk fails, when they ask twice, and after a restart."""

from dataclasses import replace

import pytest

from icn.domain.ledger.events import AccountOpened, Transferred
from icn.kernel.errors import Kind
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Instant
from icn.kernel.limits import JOBS_OPEN_MAX
from icn.kernel.mana import Mana
from icn.services import rows
from icn.services.answers import Done, Refused
from icn.services.commands import Admit, OpenAccountFor, Pay, PutContent, Submit
from icn.services.effects import Committed, Send
from icn.services.inputs import Request
from icn.services.state import State
from icn.stores.kv import StoreUnavailable
from icn.stores.schema import ForeignStore
from support import builders
from support.world import World, federation, terms

MEMBER = builders.did(50)


def _balance(world: World, name: str) -> int:
    node = world[name]
    account = node.engine.state.ledger.account(node.did, node.did)
    assert account is not None
    return account.balance


def _on_disk(world: World, name: str) -> State:
    return rows.load(world[name].store)


def _payers() -> World:
    world = federation("a")
    world.done("a", OpenAccountFor(MEMBER))
    return world


def test_a_commit_that_failed_leaves_nothing() -> None:
    world = _payers()
    before = _on_disk(world, "a")
    node = world["a"]
    node.store.fail_next = 1
    request = Request(7, Pay(MEMBER, Mana(5), ""), node.did, "key", b"d", "c")
    with pytest.raises(StoreUnavailable):
        node.engine.handle([request])
    assert _on_disk(world, "a") == before
    assert len(node.events) == len([e for e in world.trace if isinstance(e[1], Committed)])
    answered = node.engine.handle([request])
    assert [type(reply.answer) for reply in answered.replies] == [Done]
    again = node.engine.handle([request])
    assert again.replies[0].answer == answered.replies[0].answer
    assert not again.effects
    assert _balance(world, "a") == 995
    assert node.engine.state == _on_disk(world, "a")


def test_a_commit_whose_answer_was_lost_counts_once() -> None:
    world = _payers()
    node = world["a"]
    node.store.fail_next, node.store.uncertain = 1, True
    request = Request(7, Pay(MEMBER, Mana(5), ""), node.did, "key", b"d", "c")
    with pytest.raises(StoreUnavailable):
        node.engine.handle([request])
    again = node.engine.handle([request])
    assert isinstance(again.replies[0].answer, Done)
    assert _balance(world, "a") == 995


def test_no_effect_leaves_before_its_cause_is_on_disk() -> None:
    world = federation("a", "b")
    node = world["a"]
    node.store.fail_next = 1
    said = len(world.trace)
    world.ask("a", Submit(world.spec(), b"x"), key="k")
    with pytest.raises(StoreUnavailable):
        world.settle()
    assert not [effect for name, effect in world.trace[said:] if name == "a"]


def test_the_same_key_gives_the_same_answer_in_one_batch_later_and_after_a_restart() -> None:
    world = _payers()
    node = world["a"]
    request = Request(1, Pay(MEMBER, Mana(5), ""), node.did, "key", b"d", "c")
    outcome = node.engine.handle([request, replace(request, token=2)])
    first, second = (reply.answer for reply in outcome.replies)
    assert first == second
    assert node.engine.handle([replace(request, token=3)]).replies[0].answer == first
    world.restart("a")
    assert world["a"].engine.handle([replace(request, token=4)]).replies[0].answer == first
    assert _balance(world, "a") == 995


def test_the_same_key_with_another_body_is_a_conflict() -> None:
    world = _payers()
    node = world["a"]
    request = Request(1, Pay(MEMBER, Mana(5), ""), node.did, "key", b"d", "c")
    other = replace(request, token=2, command=Pay(MEMBER, Mana(6), ""), digest=b"e")
    answers = [reply.answer for reply in node.engine.handle([request, other]).replies]
    assert isinstance(answers[1], Refused)
    assert (answers[1].kind, answers[1].code) == (Kind.CONFLICT, "request.key_reused")
    later = node.engine.handle([other]).replies[0].answer
    assert later == answers[1]
    assert node.engine.handle([replace(request, token=3)]).replies[0].answer == answers[0]


def test_a_key_belongs_to_its_principal() -> None:
    world = _payers()
    node = world["a"]
    mine = Request(1, Pay(MEMBER, Mana(5), ""), node.did, "key", b"d", "c")
    theirs = replace(mine, token=2, principal=MEMBER, command=Pay(node.did, Mana(1), ""))
    answers = [reply.answer for reply in node.engine.handle([mine, theirs]).replies]
    assert [type(answer) for answer in answers] == [Done, Done]
    assert answers[0] != answers[1]


def test_a_refusal_is_stored_under_its_key() -> None:
    world = _payers()
    node = world["a"]
    poor = Request(1, Pay(MEMBER, Mana(5_000), ""), node.did, "key", b"d", "c")
    refused = node.engine.handle([poor]).replies[0].answer
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.code) == (Kind.UNAFFORDABLE, "ledger.insufficient_mana")
    assert refused.fields["needed"] == 5_000
    world.clock.time = Instant(world.clock.time + 1000 * 3_600_000)  # rich by now; the answer stays
    assert node.engine.handle([poor]).replies[0].answer == refused
    world.restart("a")
    assert world["a"].engine.handle([poor]).replies[0].answer == refused


def test_a_refusal_of_load_is_not_stored() -> None:
    world = _payers()
    node = world["a"]
    node.engine.state.mesh.open_by_home[node.did] = JOBS_OPEN_MAX
    request = Request(1, Submit(world.spec(), b""), node.did, "key", b"d", "c")
    busy = node.engine.handle([request]).replies[0].answer
    assert isinstance(busy, Refused)
    assert busy.kind is Kind.TOO_MANY
    node.engine.state.mesh.open_by_home[node.did] = 0
    assert isinstance(node.engine.handle([request]).replies[0].answer, Done)


def test_a_refused_job_leaves_no_input_behind() -> None:
    world = _payers()
    data = b"long" * 5_000
    answer = world.do("a", Submit(world.spec(max_price=Mana(5_000)), data))
    assert isinstance(answer, Refused)
    assert world["a"].store.get(b"b" + Cid.of(data, RAW).data) is None
    assert isinstance(world.do("a", Submit(world.spec(), data)), Done)
    assert world["a"].store.get(b"b" + Cid.of(data, RAW).data) == data


def test_one_batch_is_one_block() -> None:
    world = _payers()
    node = world["a"]
    before = node.engine.state.feeds.block_count
    requests = [Request(n, Pay(MEMBER, Mana(1), str(n)), node.did, "", b"", "c") for n in range(20)]
    replies = node.engine.handle(requests).replies
    assert node.engine.state.feeds.block_count == before + 1
    assert len({str(r.answer.body["block"]): None for r in replies if isinstance(r.answer, Done)}) == 1


def test_each_command_of_a_batch_is_decided_on_top_of_the_others() -> None:
    world = _payers()
    node = world["a"]
    requests = [Request(n, Pay(MEMBER, Mana(400), ""), node.did, "", b"", "c") for n in range(4)]
    answers = [reply.answer for reply in node.engine.handle(requests).replies]
    assert [type(answer) for answer in answers] == [Done, Done, Refused, Refused]
    assert _balance(world, "a") == 200


def test_a_restart_reads_the_state_it_had() -> None:
    world = federation("a", "b")
    world.submit("a")
    world.pass_time(300)
    before = world["a"].engine.state
    after = world.restart("a").engine.state
    assert after.ledger == before.ledger
    assert after == before


def test_a_store_of_another_key_is_refused() -> None:
    world = World()
    node = world.add("a")
    node.number = 9
    with pytest.raises(ForeignStore):
        world.restart("a")


def test_only_the_operator_opens_accounts_and_admits() -> None:
    world = _payers()
    for command in (OpenAccountFor(builders.did(51)), Admit(builders.did(51))):
        answer = world.do("a", command, principal=MEMBER)
        assert isinstance(answer, Refused)
        assert (answer.kind, answer.code) == (Kind.FORBIDDEN, "access.operator_only")


def test_a_member_pays_from_its_own_account_only() -> None:
    world = _payers()
    world.done("a", Pay(world["a"].did, Mana(10), ""), principal=MEMBER)
    account = world["a"].engine.state.ledger.account(MEMBER, world["a"].did)
    assert account is not None
    assert account.balance == 990
    stranger = world.do("a", Pay(world["a"].did, Mana(1), ""), principal=builders.did(60))
    assert isinstance(stranger, Refused)
    assert stranger.code == "ledger.unknown_account"


def test_before_there_is_a_federation_nothing_is_decided_in_its_name() -> None:
    world = World()
    world.add("a")
    for command in (Pay(MEMBER, Mana(1), ""), Submit(world.spec(), b""), OpenAccountFor(MEMBER)):
        answer = world.do("a", command)
        assert isinstance(answer, Refused)
        assert answer.code == "federation.none"


def test_a_time_that_ran_backwards_does_not_run_backwards_in_the_feed() -> None:
    world = _payers()
    world.clock.time = Instant(world.clock.time - 500_000)
    world.done("a", Pay(MEMBER, Mana(1), ""))
    world.clock.time = Instant(world.clock.time + 1)
    world.done("a", Pay(MEMBER, Mana(1), ""))
    node = world["a"]
    assert len(node.happened(Transferred)) == 2
    assert _on_disk(world, "a") == node.engine.state


def test_content_put_with_others_is_not_said_to_stand_in_their_block() -> None:
    world = _payers()
    node = world["a"]
    put = Request(1, PutContent(b"x", RAW, pinned=True, lifetime_ms=None), node.did, "", b"", "c")
    answer = node.engine.handle([put]).replies[0].answer
    assert isinstance(answer, Done)
    assert "block" not in answer.body


def test_after_a_fault_the_next_block_is_still_told_to_peers() -> None:
    world = federation("a", "b")
    node = world["a"]
    node.store.fail_next = 1
    world.ask("a", Submit(world.spec(), b"x"), key="k")
    with pytest.raises(StoreUnavailable):
        world.settle()
    node.inbox.clear()
    world.done("a", OpenAccountFor(MEMBER))
    assert [event.owner for event in world["b"].happened(AccountOpened)][-1:] == [MEMBER]


def test_who_connects_during_a_fault_is_greeted_all_the_same() -> None:
    world = World()
    world.add("a", terms(joins=False))
    world.found("a")
    world.add("b")
    world.link_all()
    world["a"].store.fail_next = 1
    inputs = list(world["a"].inbox)
    world["a"].inbox.clear()
    world.ask("a", OpenAccountFor(MEMBER))
    with pytest.raises(StoreUnavailable):
        world.settle()
    world["a"].inbox.clear()
    world["a"].inbox.extend(inputs)
    world.pass_time(10_000, step=1_000)
    assert world["b"].engine.state.federation.federation is not None
    assert [e for _, e in world.trace if isinstance(e, Send)]
