"""A mapping proposed from one answer: rows, who each is about, fields and time, each with its reason. Pure.

A wrong value costs more than a missing one: what the answer does not say plainly is left out, and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from schemas import metrics
from schemas.metrics import Spec
from services.collector.leaves import Leaf, Times, leaves_of, number_of, time_unit, tokens_of
from services.collector.map.identity import Identity
from services.collector.map.symbols import Symbols
from services.collector.naming import SAMPLE, Who, best
from services.common.errors import DefinitionError

CURRENCY_WORDS: Final = frozenset({"quote", "currency", "vs", "convert"})
MAIN: Final = ("price", "last", "mark_price", "bid")
"""A row without the first of these that is mapped is worthless."""
ORDERED: Final = (("bid", "ask"), ("low_24h", "high_24h"), ("pair_low_24h", "pair_high_24h"))
FRACTION_AT_MOST: Final = 0.2
"""Percentages that never exceed this may be fractions: nothing tells."""
_COUNTED = "contracts, coins or money: the name does not tell"
_INTERVAL = "the name does not tell for which interval"
_SIGN = "a difference or percent: the name does not tell"
AMBIGUOUS: Final = {
    "open_interest": _COUNTED, "funding_rate": _INTERVAL, "funding_rate_next": _INTERVAL, "interest_rate": _INTERVAL,
    "next_funding_time": "the last, this or the next one: providers differ",
    "change_24h": _SIGN, "pair_change_24h": _SIGN, "pair_status": "every provider has words of its own: it needs a map",
    "trade_price": "a trade, or the newest price of a ticker or candle", "trade_size": "a trade, or a sum of them",
}  # fmt: skip
"""Metrics whose name alone is no proof, and what is open; seen in many definitions."""
SYNONYMS: Final = {
    "market": {"current price": "price", "usd price": "price", "rank": "market_rank",
               "cap rank": "market_rank", "market cap rank": "market_rank",
               "name": "asset_name", "symbol": "asset_symbol", "fully diluted valuation": "fdv", "available supply": "circulating_supply"},
    "exchange": {"last price": "last", "best bid": "bid", "bid price": "bid", "best bid price": "bid",
                 "best ask": "ask", "ask price": "ask",
                 "best ask price": "ask", "bid quantity": "bid_size", "ask quantity": "ask_size"},
}  # fmt: skip
"""Usual spellings (words in order) that are no name or alias of the catalogue."""


class Reason(NamedTuple):
    """What was decided, and why."""

    what: str
    because: str


class Proposal(NamedTuple):
    """One emit in the making."""

    rows: str | None
    entity: dict[str, str]
    style: dict[str, str] | None
    """Spelling of pairs, for `symbols: {default: ...}`."""
    quote: str | dict[str, str] | None
    event: dict[str, str] | None
    fields: dict[str, Any]
    reasons: list[Reason]
    left_out: list[Reason]

    def emit(self) -> dict[str, Any]:
        """As it stands in `provider.yaml`."""
        said = {
            "rows": self.rows,
            "entity": self.entity,
            "quote": self.quote,
            "event": self.event,
            "fields": self.fields,
        }
        return {name: value for name, value in said.items() if value is not None}


def propose(
    payload: Any,
    home: str,
    identity: Identity,
    asked: Mapping[str, str] = {},
    entity: str | None = None,
    quote: str | None = None,
) -> Proposal:
    """A mapping of `payload`; `asked` are the request's parameters, `entity` (`asset:bitcoin`) and `quote` are what the caller knows.

    DefinitionError says what was found instead of rows about something known.
    """
    found, who = best(payload, home, identity, entity)
    leaves = leaves_of([row for _, row in found.rows[:SAMPLE]])
    reasons = [
        Reason(
            f"rows {found.path or '(the whole answer is one row)'}",
            f"{len(found.rows)} objects that our tables can name, the most in the answer",
        )
    ]
    reasons.append(Reason("entity " + ", ".join(f"{k}: {v}" for k, v in who.entity.items()), who.because))
    left_out: list[Reason] = []
    money, because = ("pair", "the pair names it") if who.entity["kind"] in ("pair", "perp") else (quote, "you said so")
    prefix = ""
    counted: str | dict[str, str] | None = money
    if counted is None:
        counted, because, prefix = _quote(leaves, asked, identity)
    fields = _fields(leaves, home, who, counted, prefix, reasons, left_out)
    _check_order(fields, [row for _, row in found.rows[:SAMPLE]], leaves, reasons, left_out)
    if not fields:
        raise DefinitionError(
            where=found.path or "the answer", expected=f"fields that are metrics of {home}", got=", ".join(list(leaves)[:12]) or "none",
            do="see docs/metrics.md, and write the fields by hand",
        )  # fmt: skip
    specs = metrics.load()
    if counted is not None and any(specs[name].money for name in fields):
        reasons.append(Reason(f"quote {counted}", because))
    else:
        counted = None
    event = _event(leaves, reasons, left_out, payload if found.path is not None else None)
    return Proposal(found.path, who.entity, who.style, counted, event, fields, reasons, left_out)


def _quote(
    leaves: Mapping[str, Leaf], asked: Mapping[str, str], identity: Identity
) -> tuple[str | dict[str, str] | None, str, str]:
    """Quote asset, why, and the path prefix that all money must stand under (empty: anywhere)."""
    symbols = Symbols(None, identity.venues.unlisted)
    for path in leaves:
        parts = path.split(".")
        for number, part in enumerate(parts[:-1]):
            if part.lower() == "usd":
                return (
                    "usd",
                    f"the money stands under {'.'.join(parts[: number + 1])}",
                    ".".join(parts[: number + 1]) + ".",
                )
    for path in leaves:
        if "usd" in tokens_of(path):
            return "usd", f"{path} is named so", ""
    for name, value in asked.items():
        coin = symbols.coin(value) if CURRENCY_WORDS & set(tokens_of(name)) else None
        if coin is not None:
            return coin.asset, f"the request asks for {name}={value}", ""
    for path, leaf in leaves.items():
        if CURRENCY_WORDS & set(tokens_of(path)) and leaf.texts and all(symbols.coin(text) for text in leaf.texts):
            return {"symbol": path}, f"{path} names it in every row", ""
    return None, "", ""


def _fields(
    leaves: Mapping[str, Leaf],
    home: str,
    who: Who,
    quote: Any,
    prefix: str,
    reasons: list[Reason],
    left_out: list[Reason],
) -> dict[str, Any]:
    catalogue = metrics.load()
    specs = catalogue.of_category(home)
    names = {tuple(sorted(meaning(name))): spec for spec in specs for name in (spec.name, *spec.aliases)}
    names |= {tuple(sorted(words.split())): catalogue[name] for words, name in SYNONYMS.get(home, {}).items()}
    fields: dict[str, Any] = {}
    naming = set(who.entity.values())
    for path, leaf in leaves.items():
        spec = names.get(tuple(sorted(meaning(path.rsplit(".", 1)[-1]))))
        if spec is None or (path in naming and spec.number):
            if path not in naming:
                left_out.append(Reason(path, "no metric of this category has that name; see docs/metrics.md"))
            continue
        if spec.money and (quote is None or not path.startswith(prefix)):
            why = (
                "money without a stated currency; say it: --quote usd"
                if quote is None
                else f"not under {prefix[:-1]}: another currency"
            )
            left_out.append(Reason(path, why))
            continue
        if spec.name in fields:
            left_out.append(Reason(path, f"{spec.name} is already read from elsewhere"))
            continue
        rule, doubt = _rule(path, leaf, spec)
        if rule is None:
            left_out.append(Reason(path, f"looks like {spec.name}, but {doubt}"))
            continue
        fields[spec.name] = rule
        reasons.append(Reason(f"{spec.name} from {path}", f"the name says so, and {doubt}"))
    main = next((name for name in MAIN if name in fields), None)
    if main is not None:
        rule = fields[main]
        fields[main] = {**(rule if isinstance(rule, dict) else {"path": rule}), "required": True}
    return fields


def meaning(name: str) -> tuple[str, ...]:
    """Words of a name that carry meaning: a price's change is a change, the quote is said elsewhere."""
    words = [word for word in tokens_of(name) if word not in ("usd", "pair")]
    if "change" in words and "price" in words:
        words.remove("price")
    return tuple(words)


def _rule(path: str, leaf: Leaf, spec: Spec) -> tuple[Any, str]:
    """How the metric is read and what speaks for it; None and the doubt."""
    if spec.name in AMBIGUOUS:
        return None, AMBIGUOUS[spec.name]
    if not leaf.values:
        return None, "it has no value in this answer"
    if spec.unit == "unix_ms":
        unit = time_unit(leaf.values)
        return (
            ({"path": path, "time": unit}, f"its values are times ({unit})")
            if unit
            else (None, "its values are not times")
        )
    if not spec.number:
        fits = all(isinstance(value, bool if spec.unit == "bool" else str) for value in leaf.values)
        return (
            (path, "its values fit")
            if fits and spec.unit in ("bool", "text")
            else (None, f"its values are not {spec.unit}")
        )
    numbers = [number_of(value) for value in leaf.values]
    if any(number is None for number in numbers):
        return None, "not every value is a number"
    found = [number for number in numbers if number is not None]
    zero_is_none = spec.name == "max_supply" or (spec.plausible is not None and spec.plausible[0] > 0)
    zeros = [value for value, number in zip(leaf.values, found, strict=True) if number == 0 and zero_is_none]
    rest = [number for number in found if number != 0] if zeros else found
    if not rest or any(not spec.plausible[0] <= number <= spec.plausible[1] for number in rest if spec.plausible):
        return None, f"its values are outside of what is plausible ({spec.plausible})"
    if spec.unit == "percent" and max(map(abs, rest)) <= FRACTION_AT_MOST:
        return None, "its values are so small that they may be fractions"
    marks = "".join(mark for mark in "$%," if any(isinstance(value, str) and mark in value for value in leaf.values))
    more = ({"nulls": list(dict.fromkeys(zeros))} if zeros else {}) | ({"strip": marks} if marks else {})
    return ({"path": path, **more} if more else path), f"{len(rest)} values are plausible"


def _check_order(
    fields: dict[str, Any],
    rows: list[dict[str, Any]],
    leaves: Mapping[str, Leaf],
    reasons: list[Reason],
    left_out: list[Reason],
) -> None:
    """Low above high, or bid above ask in most rows, says that the names mislead: both go."""
    for low, high in ORDERED:
        if low not in fields or high not in fields:
            continue
        paths = [rule["path"] if isinstance(rule, dict) else rule for rule in (fields[low], fields[high])]
        both = [(number_of(a), number_of(b)) for a, b in zip(leaves[paths[0]].all, leaves[paths[1]].all, strict=True)]
        wrong = sum(a > b for a, b in both if a is not None and b is not None)
        if 2 * wrong > len(rows):
            for name, path in zip((low, high), paths, strict=True):
                del fields[name]
                left_out.append(Reason(path, f"{low} is above {high} in {wrong} of {len(rows)} rows"))
                reasons[:] = [reason for reason in reasons if reason.what != f"{name} from {path}"]


def _event(
    leaves: Mapping[str, Leaf], reasons: list[Reason], left_out: list[Reason], around: Any
) -> dict[str, str] | None:
    times = [
        (Times.rank(path), path, time_unit(leaf.values))
        for path, leaf in leaves.items()
        if Times.rank(path) is not None
    ]
    known = sorted((rank, path, unit) for rank, path, unit in times if unit is not None and rank is not None)
    if known:
        _, path, unit = known[0]
        reasons.append(
            Reason(f"event {path}, unit {unit}", "its name says when, and its values are of that size or form")
        )
        left_out[:] = [reason for reason in left_out if reason.what != path]
        return {"path": path, "unit": unit}
    if isinstance(around, dict):
        for key, value in around.items():
            if Times.rank(key) is not None and time_unit([value]) is not None:
                left_out.append(
                    Reason(
                        f"$.{key}",
                        "may be the time of the answer, not of the data; if the documentation says data: event",
                    )
                )
    left_out.append(Reason("event", "no time in the rows; they count as of when they were received"))
    return None
