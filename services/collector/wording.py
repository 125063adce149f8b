"""Names of fields -> metrics: by the catalogue, and by how other definitions use the names; each with its reason or doubt. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from schemas import metrics
from schemas.metrics import Spec
from services.collector.leaves import Leaf, number_of, time_unit, tokens_of
from services.collector.naming import Who
from services.collector.vocabulary import STATE, Vocabulary, family_of

MAIN: Final = ("price", "last", "mark_price", "trade_price", "contract_last", "bid", "contract_trade_price")
"""A row without the first of these that is mapped is worthless."""
FRACTION_AT_MOST: Final = 0.2
"""Percentages that never exceed this may be fractions: nothing tells."""
_COUNTED = "contracts, coins or money: the name does not tell"
_INTERVAL = "the name does not tell for which interval"
_SIGN = "a difference or percent: the name does not tell"
_DAY = "of 24 hours, or since midnight: the name does not tell"
_SIDE = "the taker's side or the maker's, in words of the provider's own: it needs a map"
AMBIGUOUS: Final = {
    "open_interest": _COUNTED, "funding_rate": _INTERVAL, "funding_rate_next": _INTERVAL, "interest_rate": _INTERVAL,
    "next_funding_time": "the last, this or the next one: providers differ",
    "change_24h": _SIGN, "pair_change_24h": _SIGN, "pair_open_24h": _DAY, "contract_open_24h": _DAY,
    "pair_status": "every provider has words of its own: it needs a map",
    "trade_side": _SIDE, "contract_trade_side": _SIDE, "liquidation_side": _SIDE,
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


class Wording(NamedTuple):
    """Fields of an emit in the making."""

    fields: dict[str, Any]
    reasons: list[Reason]
    left_out: list[Reason]


def fields_of(
    leaves: Mapping[str, Leaf], home: str, who: Who, quote: Any, prefix: str, known: Vocabulary, minutes: bool = False
) -> Wording:
    """Metrics that the names say, and those that they leave open; `minutes`: the request asked for bars of one minute."""
    catalogue = metrics.load()
    names = {
        tuple(sorted(meaning(name))): spec
        for spec in catalogue.of_category(home)
        for name in (spec.name, *spec.aliases)
    }
    names |= {tuple(sorted(words.split())): catalogue[name] for words, name in SYNONYMS.get(home, {}).items()}
    family = known.family(home, leaves)
    made = Wording({}, [], [])
    naming = set(who.entity.values())
    chosen: dict[str, str] = {}
    for path, leaf in leaves.items():
        spec, because = _meant(path, names, home, family, known)
        named = names.get(tuple(sorted(meaning(path.rsplit(".", 1)[-1]))))
        if spec is None and named is not None and _told_by_size(path, named, leaves):
            spec, because = named, "the name says so, and so does its size beside the other volume and the price"
        if spec is None or (path in naming and spec.number):
            if path not in naming:
                made.left_out.append(Reason(path, because))
            continue
        doubt = (
            _misplaced(path, spec, quote, prefix) or _of_many(leaf, who, spec, minutes) or _counted(path, spec, leaves)
        )
        if doubt is not None:
            made.left_out.append(Reason(path, doubt))
            continue
        rule, said = _rule(path, leaf, spec)
        if rule is None:
            made.left_out.append(Reason(path, f"looks like {spec.name}, but {said}"))
            continue
        before = chosen.get(spec.name)
        if before is not None and _closeness(before, spec) >= _closeness(path, spec):
            made.left_out.append(Reason(path, f"{spec.name} is already read from {before}"))
            continue
        if before is not None:
            made.left_out.append(Reason(before, f"{spec.name} is named more plainly by {path}"))
            made.reasons[:] = [reason for reason in made.reasons if reason.what != f"{spec.name} from {before}"]
        chosen[spec.name] = path
        made.fields[spec.name] = rule
        made.reasons.append(Reason(f"{spec.name} from {path}", f"{because}, and {said}"))
    _require(made.fields)
    return made


def _closeness(path: str, spec: Spec) -> int:
    """How many words of the metric's name stand in the path."""
    return len(set(tokens_of(spec.name)) & set(tokens_of(path)))


PRICE_WORDS: Final = frozenset({"last", "close", "price"})
VOLUMES: Final = ("volume_base_24h", "contract_volume_base_24h", "volume_quote_24h")
NEAR: Final = (0.7, 1.4)
"""Of the last price, the mean price of a day's volume."""


def _counted(path: str, spec: Spec, leaves: Mapping[str, Leaf]) -> str | None:
    """A volume that does not say whether it counts base or money: certain only beside the other one."""
    words = set(tokens_of(path.rsplit(".", 1)[-1]))
    if spec.name not in VOLUMES or words & {"base", "quote", "quantity"} or _told_by_size(path, spec, leaves):
        return None
    return "of the base or of the money: no other field tells by its size"


def _told_by_size(path: str, spec: Spec, leaves: Mapping[str, Leaf]) -> bool:
    """Whether another field is this volume times the price (or through it), row by row."""
    prices = next(
        (leaf for other, leaf in leaves.items() if set(tokens_of(other.rsplit(".", 1)[-1])) <= PRICE_WORDS), None
    )
    if spec.name not in VOLUMES or prices is None:
        return False
    return any(
        _shares_fit(leaves[path], leaf, prices, "base" in spec.name) for other, leaf in leaves.items() if other != path
    )


def _shares_fit(own: Leaf, other: Leaf, prices: Leaf, base: bool) -> bool:
    rows = [tuple(map(number_of, row)) for row in zip(own.all, other.all, prices.all, strict=True)]
    known = [(a, b, p) for a, b, p in rows if a and b and p]
    shares = [b / (a * p) if base else a / (b * p) for a, b, p in known]
    return bool(shares) and all(NEAR[0] <= share <= NEAR[1] for share in shares)


def _meant(
    path: str, names: Mapping[tuple[str, ...], Spec], home: str, family: str, known: Vocabulary
) -> tuple[Spec | None, str]:
    """The metric of a name and what speaks for it; None and what is open."""
    catalogue = metrics.load()
    if len(path.rsplit(".", 1)[-1]) == 1:
        return None, "one letter tells nothing; see the documentation"
    if '["' in path:
        return None, "its key names one thing of this answer only"
    spec = names.get(tuple(sorted(meaning(path.rsplit(".", 1)[-1]))))
    said = known.says(home, path)
    if said is not None and not said.certain:
        said = known.says(home, path, family) or said
    if said is not None and said.certain and "," not in said.metric:
        rows = "" if family == STATE else f" in rows of {family}s"
        return catalogue[said.metric], f"{said.by} definitions mean it by this name{rows}"
    if spec is not None and family_of(spec.name) == family and (said is None or said.metric.startswith(spec.name)):
        return spec, "the name says so"
    if said is not None and (said.other or said.by > 1 or spec is not None):
        uses = ", ".join((f"{said.metric} ({said.by})", *said.other[:3]))
        return None, f"this name stands for different things: {uses}"
    if said is not None:
        return None, f"perhaps {said.metric}, as one other definition means by this name"
    return None, "no metric of this category has that name; see docs/metrics.md"


def _misplaced(path: str, spec: Spec, quote: Any, prefix: str) -> str | None:
    if spec.money and quote is None:
        return "money without a stated currency; say it: --quote usd"
    if spec.money and not path.startswith(prefix):
        return f"not under {prefix[:-1]}: another currency"
    return None


ONE_OF_MANY: Final = "many rows about one thing: the name does not tell which of them is the newest"
BARS: Final = "a bar of which interval: the request does not say one minute"


def _of_many(leaf: Leaf, who: Who, spec: Spec, minutes: bool) -> str | None:
    """Doubts about rows that the request alone names, and about bars."""
    said = [value for way, value in who.entity.items() if way not in ("kind", "table")]
    alone = "is" in who.entity or "chain_is" in who.entity or all(value.startswith("$param.") for value in said)
    family = family_of(spec.name)
    if alone and len(leaf.all) > 1 and family == STATE:
        return ONE_OF_MANY
    return BARS if family == "candle" and not minutes else None


def _require(fields: dict[str, Any]) -> None:
    main = next((name for name in MAIN if name in fields), None)
    if main is not None:
        rule = fields[main]
        fields[main] = {**(rule if isinstance(rule, dict) else {"path": rule}), "required": True}


def meaning(name: str) -> tuple[str, ...]:
    """Words of a name that carry meaning: a price's change is a change, the quote is said elsewhere."""
    words = [word for word in tokens_of(name) if word not in ("usd", "pair")]
    if "change" in words and "price" in words:
        words.remove("price")
    return tuple(words)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool) or value in ("0", "1", "true", "false", 0, 1)


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _rule(path: str, leaf: Leaf, spec: Spec) -> tuple[Any, str]:
    """How the metric is read and what speaks for it; None and the doubt."""
    if spec.name in AMBIGUOUS and not (AMBIGUOUS[spec.name] is _DAY and "24h" in tokens_of(path)):
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
        kinds = {"bool": _is_flag, "text": _is_text}.get(spec.unit)
        fits = kinds is not None and all(kinds(value) for value in leaf.values)
        return (path, "its values fit") if fits else (None, f"its values are not {spec.unit}")
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
