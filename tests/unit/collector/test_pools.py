"""Rules of the pools."""

import pytest

from services.collector.pools import Member, Pick, Pool

A, B, C = Member("acme", "price"), Member("bolt", "quote"), Member("core", "price")


def nobody(member: Member) -> str | None:
    return None


def test_by_priority_the_first_who_can_answers() -> None:
    pool = Pool("market:asset", [A, B, C])
    assert pool.pick(nobody) == Pick(member=A, intended=A)


def test_another_answers_and_the_event_can_say_who_was_meant_and_why() -> None:
    pool = Pool("market:asset", [A, B, C])
    pick = pool.pick({A: "breaker_open", B: "budget"}.get)
    assert pick == Pick(
        member=C, intended=A, reason="breaker_open", refusals={"acme": "breaker_open", "bolt": "budget"}
    )
    assert pick.diverted


def test_when_nobody_can_the_reason_is_that_of_the_intended() -> None:
    pick = Pool("market:asset", [A, B]).pick({A: "no_key", B: "budget"}.get)
    assert (pick.member, pick.reason, pick.diverted) == (None, "no_key", False)


def test_round_robin_gives_each_its_turn() -> None:
    pool = Pool("market:asset", [A, B, C], "round_robin")
    assert [pool.pick(nobody).member for _ in range(4)] == [A, B, C, A]


def test_an_intended_member_goes_first() -> None:
    assert Pool("market:asset", [A, B, C]).pick({B: "budget"}.get, intended=B) == Pick(
        member=C, intended=B, reason="budget", refusals={"bolt": "budget"}
    )


def test_a_pool_needs_a_member() -> None:
    with pytest.raises(ValueError, match="pool market:asset: expected at least one member, got none"):
        Pool("market:asset", [])
