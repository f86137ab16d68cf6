from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labsupport.quorum.keys import dkg
from labsupport.quorum.keys.dkg import CeremonyFailed, Result
from labsupport.quorum.keys.polynomial import lagrange
from tests.quorum.keys import simulation
from tests.quorum.keys.simulation import (
    CHEATS,
    Honest,
    agreed,
    check_evidence,
    check_key,
    fresh_plan,
    identities,
    named,
    run,
    values_in,
    whole_secret,
)


@pytest.mark.parametrize(("threshold", "members"), [(t, n) for n in (3, 5, 7) for t in range(2, n + 1)])
def test_honest_members_make_a_key(threshold: int, members: int) -> None:
    who = identities(members)
    plan = fresh_plan(who, threshold)
    states: list[Honest] = []
    outcomes = run([Honest(plan, each) for each in who.values()], watch=states.append)
    assert len(states) == members * dkg.rounds(plan)
    assert states[-1].ceremony.advance([]) is states[-1].ceremony  # it is over
    assert named(agreed(outcomes)) == set()
    public = check_key(outcomes)
    assert (public.epoch, public.threshold, tuple(public.shares)) == (1, threshold, tuple(who))


@pytest.mark.parametrize("cheat", [*CHEATS, simulation.ZeroShare], ids=lambda cheat: cheat.__name__)
@pytest.mark.parametrize(("threshold", "members"), [(2, 3), (3, 5)])
def test_each_cheat_is_named_and_left_out(cheat: type[Honest], threshold: int, members: int) -> None:
    who = identities(members)
    plan = fresh_plan(who, threshold)
    cheater = 2
    parts = [(cheat if i == cheater else Honest)(plan, each) for i, each in who.items()]
    outcomes = run(parts)
    result = agreed(outcomes)
    assert named(result) == ({(cheater, cheat.culprit_of)} if cheat.culprit_of else set())
    check_evidence(plan, outcomes, [cheater])
    public = check_key(outcomes)
    assert (cheater in public.shares) == (cheat.culprit_of is None)


@st.composite
def plots(draw: st.DrawFn) -> tuple[int, int, dict[int, type[Honest]]]:
    """Members, a threshold and who cheats how: fewer than the threshold, so that secrecy and agreement must hold."""
    members = draw(st.sampled_from([3, 4, 5, 6]))
    threshold = draw(st.integers(2, members))
    who = draw(st.permutations(range(1, members + 1)))
    count = draw(st.integers(1, min(threshold - 1, members - 2) or 1))
    return members, threshold, {i: draw(st.sampled_from(CHEATS)) for i in who[:count]}


@settings(max_examples=12, deadline=None)
@given(plots(), st.randoms(use_true_random=False))
def test_whatever_cheaters_do_honest_members_agree(plot: tuple, chance: object) -> None:
    members, threshold, cheats = plot
    who = identities(members)
    plan = fresh_plan(who, threshold)
    parts = [cheats.get(i, Honest)(plan, each) for i, each in who.items()]
    outcomes = run(parts)
    result = agreed(outcomes)
    check_evidence(plan, outcomes, cheats)
    expected = {i for i, cheat in cheats.items() if cheat.culprit_of}
    assert expected <= {culprit for culprit, _ in named(result)}
    if members - len(cheats) >= threshold:
        check_key(outcomes)
        assert not expected & set(result.public.shares)


@settings(max_examples=12, deadline=None)
@given(plots(), st.data())
def test_messages_of_cheaters_that_reach_some_only(plot: tuple, data: st.DataObject) -> None:
    """The same, where each bundle of a cheater may reach some members and others not."""
    members, threshold, cheats = plot
    who = identities(members)
    plan = fresh_plan(who, threshold)
    parts = [cheats.get(i, Honest)(plan, each) for i, each in who.items()]
    outcomes = run(parts, lambda *where: data.draw(st.booleans(), label=str(where)))
    agreed(outcomes)
    check_evidence(plan, outcomes, cheats)
    if members - len(cheats) >= threshold:
        check_key(outcomes)


def test_too_many_cheaters_give_one_clear_failure() -> None:
    who = identities(5)
    plan = fresh_plan(who, 4)
    parts = [(simulation.Silent if i > 3 else Honest)(plan, each) for i, each in who.items()]
    failed = agreed(run(parts))
    assert isinstance(failed, CeremonyFailed)
    assert str(failed) == "Too few dealers are left. Named: 4 (Silence), 5 (Silence)."


def test_no_member_ever_holds_the_whole_secret() -> None:
    """Each state of each member, in each round, and each message that was sent, is searched for it afterwards."""
    who = identities(5)
    plan = fresh_plan(who, 3)
    states: list[set[bytes]] = []
    outcomes = run(
        [Honest(plan, each) for each in who.values()],
        watch=lambda part: states.append(
            set(values_in(part.ceremony)) | set(values_in(part.ceremony.outgoing))
        ),
    )
    keys = [each.key for each in outcomes.values() if isinstance(each, Result) and each.key]
    secret = whole_secret(keys)
    assert len(states) == 5 * 6
    assert not any(secret.encode() in state for state in states)
    # The search finds what is there: a member's own share, at the end.
    assert keys[0].share.encode() in set(values_in(outcomes[1]))
    # And the shares of two are not enough, whoever they are.
    for one in keys:
        for other in keys:
            if one.identifier < other.identifier:
                pair = [one.identifier, other.identifier]
                guess = one.share * lagrange(pair, pair[0]) + other.share * lagrange(pair, pair[1])
                assert guess != secret


def test_the_state_of_a_ceremony_shows_no_secret() -> None:
    who = identities(3)
    parts = [Honest(fresh_plan(who, 2), who[1])]
    plan = parts[0].plan
    outcomes = run([parts[0], *(Honest(plan, who[i]) for i in (2, 3))])
    shown = repr(parts[0].ceremony) + repr(outcomes[1])
    assert "Scalar(hidden)" in shown
    for secret in (who[1].seed, who[1].sealing_secret.encode(), outcomes[1].key.share.encode()):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


def test_a_plan_without_me_or_with_another_of_my_name_is_refused() -> None:
    who = identities(3)
    plan = fresh_plan(who, 2)
    with pytest.raises(ValueError, match="no member 1 with this identity"):
        dkg.start(plan, identities(1)[1])
    with pytest.raises(ValueError, match="threshold of 4 among 3"):
        fresh_plan(who, 4)


def test_members_with_different_plans_come_to_nothing() -> None:
    who = identities(3)
    one, other = fresh_plan(who, 2), fresh_plan(who, 2)
    outcomes = run([Honest(one, who[1]), Honest(one, who[2]), Honest(other, who[3])])
    assert isinstance(outcomes[3], CeremonyFailed)
    assert named(outcomes[1]) == {(3, "Silence")}
