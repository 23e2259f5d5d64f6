"""The same seed plans the same run; each kind of fault has its turn before any comes again."""

from itertools import islice

import pytest

from proof.torture.faults import FAULTS
from proof.torture.plan import EVERYWHERE, OF_A_WIRE, Plan


def plan(seed: int, wire: str = "postgres") -> Plan:
    return Plan(seed, wire, sends_per_act=120)


def test_the_same_seed_plans_the_same_faults_sends_and_cuts() -> None:
    one, other, another = (list(islice(plan(seed).acts(), 25)) for seed in (7, 7, 8))

    assert one == other
    assert [draft.text for act in one for drafts in act.drafts for draft in drafts] == [
        draft.text for act in other for drafts in act.drafts for draft in drafts
    ]
    assert [act.fault for act in one] != [act.fault for act in another]
    assert list(islice(plan(7).cuts("w"), 9)) == list(islice(plan(7).cuts("w"), 9))


@pytest.mark.parametrize("wire", OF_A_WIRE)
def test_each_kind_comes_once_before_any_comes_again_and_can_be_done(wire: str) -> None:
    kinds = EVERYWHERE + OF_A_WIRE[wire]
    acts = list(islice(plan(1, wire).acts(), 2 * len(kinds)))

    for half in (acts[: len(kinds)], acts[len(kinds) :]):
        assert sorted(act.fault.kind for act in half) == sorted(kinds)
    assert set(kinds) <= FAULTS.keys()


def test_no_two_drafts_share_a_number_and_a_conflict_takes_an_earlier_key_of_its_speaker() -> None:
    acts = list(islice(plan(3).acts(), 20))
    drafts = [draft for act in acts for some in act.drafts for draft in some]
    conflicts = [draft for draft in drafts if draft.flaw == "conflict"]
    by_speaker = [[draft for act in acts for draft in act.drafts[speaker]] for speaker in range(len(acts[0].drafts))]

    assert len({draft.number for draft in drafts}) == len(drafts)
    assert conflicts
    for some in by_speaker:
        first = {draft.number: draft for draft in some if not draft.flaw}
        for draft in some:
            if draft.flaw == "conflict":
                assert (draft.key, draft.chat) == (first[draft.key_of].key, first[draft.key_of].chat)
                assert draft.text != first[draft.key_of].text and draft.key_of < draft.number
