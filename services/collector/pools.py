"""Providers that can answer one question: who answers it now, who was meant to, and why another did. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

Strategy = Literal["priority", "round_robin"]


class Member(Struct, frozen=True, order=True):
    """One endpoint of one provider."""

    provider: str
    endpoint: str


class Pick(Struct, frozen=True, kw_only=True):
    """Who answers. `intended` and `reason` are set when that is not the one whose turn it was."""

    member: Member | None
    """None: no member can answer now."""
    intended: Member
    reason: str | None = None
    refusals: dict[str, str] = {}
    """Provider -> why it could not answer."""

    @property
    def diverted(self) -> bool:
        """True when another member than the intended one answers."""
        return self.member is not None and self.member != self.intended


class Pool:
    """Members in order of preference, asked by one strategy."""

    def __init__(self, question: str, members: Sequence[Member], strategy: Strategy = "priority") -> None:
        if not members:
            raise ValueError(f"pool {question}: expected at least one member, got none")
        self.question = question
        self.members = tuple(members)
        self._strategy: Strategy = strategy
        self._turn = 0

    def pick(self, refusal: Callable[[Member], str | None], intended: Member | None = None) -> Pick:
        """The first member in turn that `refusal` has nothing against; `intended` overrides whose turn it is."""
        order = self._order(intended)
        refusals: dict[str, str] = {}
        for member in order:
            why = refusal(member)
            if why is None:
                reason = refusals.get(order[0].provider) if member != order[0] else None
                return Pick(member=member, intended=order[0], reason=reason, refusals=refusals)
            refusals[member.provider] = why
        return Pick(member=None, intended=order[0], reason=refusals[order[0].provider], refusals=refusals)

    def _order(self, intended: Member | None) -> list[Member]:
        start = 0
        if intended is not None:
            start = self.members.index(intended)
        elif self._strategy == "round_robin":
            start, self._turn = self._turn, (self._turn + 1) % len(self.members)
        return [*self.members[start:], *self.members[:start]]
