"""Large transfers, each once: worth, direction, and what they add up to for exchanges."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from schemas.events import Origin, Signal
from services.aggregator.signals.model import signal


class Limits(NamedTuple):
    """When a transfer is a whale's."""

    usd: float = 1_000_000.0
    remembered: int = 20_000
    """Transfers whose names are kept, so that none is told twice."""
    apart: float = 0.2
    """Two statements of worth that differ by more than this share are not one agreement."""


LIMITS = Limits()


class Move(NamedTuple):
    """One transfer as fused."""

    chain: str
    hash: str
    usd: float | None
    confidence: float
    voices: float
    asset: str
    sender: str | None = None
    """Known owner of the sending address; `sender_exchange` when it is an exchange."""
    receiver: str | None = None
    sender_exchange: bool = False
    receiver_exchange: bool = False
    watchers: tuple[str, ...] = ()
    """Providers that saw it."""


class Whales:
    """All transfers of a process: tells each large one once, again when its worth is confirmed by a second voice."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()

    def see(self, move: Move, as_of_ms: int, *, origin: Origin) -> Signal | None:
        """A signal for a large transfer that is new, or newly confirmed; None for small and known ones.

        A transfer that one watcher alone has seen is no finding yet, except that its chain's own record is the second source:
        `confidence` of the fused worth must then be above one half.
        """
        name = (move.chain, move.hash.lower() if move.hash.startswith("0x") else move.hash)
        if move.usd is None or move.usd < self.limits.usd or (move.voices < 2.0 and move.confidence < 0.5):
            return None
        told = self._told.get(name, 0.0)
        if told >= 2.0 or (told > 0.0 and move.voices < 2.0):
            return None
        self._told[name] = move.voices
        self._told.move_to_end(name)
        if len(self._told) > self.limits.remembered:
            self._told.popitem(last=False)
        inside, outside = move.sender_exchange, move.receiver_exchange
        direction = (
            "between_exchanges"
            if inside and outside
            else "exchange_outflow"
            if inside
            else "exchange_inflow"
            if outside
            else "transfer"
        )
        return signal(
            f"whale_{direction}",
            f"transfer:{move.chain}:{name[1]}",
            as_of_ms,
            move.confidence,
            f"{move.usd:,.0f} USD of {move.asset} from {move.sender or 'unknown'} to {move.receiver or 'unknown'} on {move.chain}.",
            {
                "usd": move.usd,
                "asset": move.asset,
                "from": move.sender or "",
                "to": move.receiver or "",
                "direction": direction,
                "voices": move.voices,
                "chain": move.chain,
                "hash": name[1],
            },
            sorted({*move.watchers, f"chain:{move.chain}"}),
            {"usd": self.limits.usd},
            origin,
            as_of_ms + 86_400_000,
            "",
        )
