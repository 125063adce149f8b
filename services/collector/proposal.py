"""A mapping proposed from one answer: rows, who each is about, fields and time, each with its reason. Pure.

A wrong value costs more than a missing one: what the answer does not say plainly is left out, and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from schemas import metrics
from services.collector.leaves import Leaf, Times, leaves_of, number_of, time_unit, tokens_of
from services.collector.map.identity import Identity
from services.collector.map.symbols import Symbols
from services.collector.naming import SAMPLE, Rows, Who, candidates, places, unnamed
from services.collector.registry.mapping import Emit
from services.collector.shapes import FEED_FIELDS, SIDE, Bars, Levels, bars_of, book_fields, book_of
from services.collector.vocabulary import Vocabulary
from services.collector.wording import Reason, Wording, fields_of
from services.common.errors import DefinitionError

CURRENCY_WORDS: Final = frozenset({"quote", "currency", "vs", "convert"})
ORDERED: Final = (
    ("bid", "ask"), ("contract_bid", "contract_ask"), ("low_24h", "high_24h"), ("pair_low_24h", "pair_high_24h"),
    ("contract_low_24h", "contract_high_24h"),
)  # fmt: skip
DOLLARS: Final = ("USDT", "USDC", "USD")
PAIRED: Final = ("pair", "perp")
COLUMNS: Final = {
    "open": "candle_open_1m", "high": "candle_high_1m", "low": "candle_low_1m", "close": "candle_close_1m",
}  # fmt: skip
"""Column of a bar -> metric."""


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
    book: dict[str, Any] | None = None
    """Levels, when the answer is an order book."""
    when: list[dict[str, Any]] | None = None

    def emits(self) -> list[dict[str, Any]]:
        """The emit, and what an exchange's price says of the base asset: of markets against dollars and dollar stablecoins."""
        style, path = self.style, self.entity.get("symbol", "")
        if style is None or not style["separator"] or self.entity["kind"] != "pair" or "last" not in self.fields:
            return [self.emit()]
        dollars = [coin.lower() if style["case"] == "lower" else coin for coin in DOLLARS]
        ends = [{"path": path, "ends": f"{style['separator']}{coin}{style.get('suffix', '')}"} for coin in dollars]
        price = {**self.emit(), "where": [{"any": ends}], "entity": {"kind": "asset", "symbol": path}}
        return [self.emit(), {"category": "market", **price, "fields": {"price": self.fields["last"]}}]

    def emit(self) -> dict[str, Any]:
        """As it stands in `provider.yaml`."""
        said = {
            "rows": self.rows,
            "when": self.when,
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
    known: Vocabulary | None = None,
    body: str = "json",
    method: str | None = None,
) -> Proposal:
    """A mapping of `payload`; `asked` are the request's parameters, `entity` (`asset:bitcoin`) and `quote` are what the caller knows.

    `known` is how other definitions name things, `method` the JSON-RPC call that was sent.
    DefinitionError says what was found instead of rows about something known.
    """
    if body == "rss":
        return _feed()
    called = known.call(home, method) if known is not None and method is not None else None
    if called is not None:
        return _call(*called, method or "", home, identity, asked, entity)
    levels = book_of(payload) if home in SIDE else None
    if levels is not None:
        return _book(payload, levels, home, identity, asked, entity)
    bars = bars_of(payload) if home == "exchange" else None
    if bars is not None:
        return _bars(bars, home, identity, asked, entity)
    made = _rows(payload, home, identity, asked, entity, quote, known or Vocabulary())
    if made is None:
        raise unnamed(payload, home)
    return made


def _feed() -> Proposal:
    reasons = [Reason("rows items[*]", "a feed: its reader gives every story the same parts")]
    for name, rule in FEED_FIELDS.items():
        path = rule["path"] if isinstance(rule, dict) else rule
        reasons.append(Reason(f"{name} from {path}", "so the reader of feeds calls it"))
    left = [Reason("source, language, story_kind", "only you know them: {is: Name}, {is: en}, {is: news}")]
    event = {"path": "published", "unit": "iso"}
    return Proposal("items[*]", {"kind": "story", "url": "link"}, None, None, event, dict(FEED_FIELDS), reasons, left)


def _call(
    emit: Emit, by: int, method: str, home: str, identity: Identity, asked: Mapping[str, str], entity: str | None
) -> Proposal:
    """The answer of a call that is the same everywhere."""
    who = next((who for _, who in candidates({}, home, identity, entity, asked)), None)
    if who is None:
        raise DefinitionError(
            where="the answer",
            expected="to know which chain it is of",
            got=f"an answer of {method}",
            do="say it: --entity chain:ethereum",
        )
    said = msgspec.to_builtins(emit)
    reasons = [Reason("entity " + _entity_said(who), who.because)]
    reasons += [Reason(f"{name} from the result", f"{by} definitions read {method} so") for name in emit.fields]
    return Proposal(
        said.get("rows"), who.entity, who.style, said.get("quote"), said.get("event"), said["fields"], reasons, []
    )


def _book(
    payload: Any, levels: Levels, home: str, identity: Identity, asked: Mapping[str, str], entity: str | None
) -> Proposal:
    """Best prices of a book, and the book itself as a snapshot."""
    found = [who for place, who in candidates(payload, home, identity, entity, asked) if place.path is None]
    if not found:
        raise unnamed(payload, home)
    who = max(found, key=lambda one: -one.rank)
    fields = book_fields(levels, home)
    reasons = [Reason("entity " + _entity_said(who), who.because)]
    reasons += [
        Reason(f"{name} from {rule['each']}", "the lists are levels of a book: the best bid is below the best ask")
        for name, rule in fields.items()
    ]
    left: list[Reason] = [] if SIDE[home][2] else [Reason("sizes", "of contracts: their unit differs by venue")]
    event = _event(leaves_of([payload] if isinstance(payload, dict) else []), reasons, left, None, levels.bids)
    book = {"kind": "snapshot", "entity": who.entity, "bids": levels.bids, "asks": levels.asks}
    if levels.price != "[0]":
        book |= {"price": levels.price, "size": levels.size}
    return Proposal(None, who.entity, who.style, "pair", event, fields, reasons, left, book)


def _bars(bars: Bars, home: str, identity: Identity, asked: Mapping[str, str], entity: str | None) -> Proposal:
    """Bars of one minute, by their columns; DefinitionError with what the columns are, when the request does not say a minute."""
    told = ", ".join(f'{name}: "{path}"' for name, path in bars.columns.items())
    who = next((who for _, who in candidates({}, home, identity, entity, asked)), None)
    interval = next((name for name in asked if _asks_minutes({name: asked[name]})), None)
    if who is None or interval is None or len(bars.columns) < len(COLUMNS):
        raise DefinitionError(
            where=bars.rows, expected="rows that are objects with named fields",
            got=f'positional arrays that behave as bars: time "{bars.time}" in {bars.unit}, {told}',
            do="compare with the documentation and write the emit by hand, for bars of one minute (docs/providers/format.md, Rows)",
        )  # fmt: skip
    fields: dict[str, Any] = {name: bars.columns[column] for column, name in COLUMNS.items()}
    fields["candle_close_1m"] = {"path": bars.columns["close"], "required": True}
    reasons = [
        Reason(f"rows {bars.rows}", "lists without names that behave as bars"),
        Reason("entity " + _entity_said(who), who.because),
        Reason(f"when {interval}", "these metrics are of one minute only"),
        Reason(told, "the largest and the smallest of each, and the close nearest to the next open"),
        Reason(f"event {bars.time}, unit {bars.unit}", "the only column of times"),
    ]
    left = [
        Reason(
            "event",
            "the start of the bar or its end: the documentation says",
        ),
        Reason("volume", "which column it is, and whether it counts base or money"),
    ]
    when = [{"path": f"$param.{interval}", "eq": asked[interval]}]
    event = {"path": bars.time, "unit": bars.unit}
    return Proposal(bars.rows, who.entity, who.style, "pair", event, fields, reasons, left, when=when)


class _Try(NamedTuple):
    """One way to read the answer, and what it would give."""

    place: Rows
    who: Who
    leaves: dict[str, Leaf]
    quote: str | dict[str, str] | None
    because: str
    wording: Wording

    @property
    def worth(self) -> tuple[int, int, int]:
        """Fields that are understood, rows that are known, and how plain the naming is."""
        return (len(self.wording.fields), self.who.known, -self.who.rank)


def _rows(
    payload: Any,
    home: str,
    identity: Identity,
    asked: Mapping[str, str],
    entity: str | None,
    quote: str | None,
    known: Vocabulary,
) -> Proposal | None:
    """The reading of the answer that gives most; None when nobody in it is known."""
    tries: list[_Try] = []
    leaves: dict[str | None, dict[str, Leaf]] = {
        place.path: leaves_of([row for _, row in place.rows[:SAMPLE]]) for place in places(payload)
    }
    for place, who in candidates(payload, home, identity, entity, asked):
        tries.append(_attempt(place, who, leaves[place.path], home, identity, asked, quote, known))
    if not tries:
        return None
    one = max(tries, key=lambda one: one.worth)
    if not one.wording.fields:
        raise DefinitionError(
            where=one.place.path or "the answer", expected=f"fields that are metrics of {home}",
            got=", ".join(list(one.leaves)[:12]) or "none",
            do="see docs/metrics.md, and write the fields by hand",
        )  # fmt: skip
    return _chosen(one, payload)


def _attempt(
    place: Rows,
    who: Who,
    leaves: dict[str, Leaf],
    home: str,
    identity: Identity,
    asked: Mapping[str, str],
    quote: str | None,
    known: Vocabulary,
) -> _Try:
    paired = who.entity["kind"] in PAIRED or who.style is not None
    prefix, because = "", "the pair names it" if paired else "you said so"
    counted: str | dict[str, str] | None = "pair" if paired else quote
    if counted is None:
        counted, because, prefix = _quote(leaves, asked, identity)
    return _Try(
        place, who, leaves, counted, because, fields_of(leaves, home, who, counted, prefix, known, _asks_minutes(asked))
    )


MINUTES: Final = frozenset({"1m", "1", "60", "1min", "minute1", "minute_1", "minute", "m1"})
INTERVALS: Final = frozenset(
    {"interval", "granularity", "period", "resolution", "bar", "timeframe", "bucket", "step", "unit", "type"}
)


def _asks_minutes(asked: Mapping[str, str]) -> bool:
    return any(INTERVALS & set(tokens_of(name)) and value.lower() in MINUTES for name, value in asked.items())


def _chosen(one: _Try, payload: Any) -> Proposal:
    place, who, fields = one.place, one.who, one.wording.fields
    reasons = [
        Reason(
            f"rows {place.path or '(the whole answer is one row)'}",
            f"{len(place.rows)} objects that our tables can name, and {len(fields)} fields in them that are understood",
        ),
        Reason("entity " + _entity_said(who), who.because),
        *one.wording.reasons,
    ]
    left_out = list(one.wording.left_out)
    _check_order(fields, [row for _, row in place.rows[:SAMPLE]], one.leaves, reasons, left_out)
    quote = one.quote
    specs = metrics.load()
    if quote is not None and any(specs[name].money for name in fields):
        reasons.append(Reason(f"quote {quote}", one.because))
    else:
        quote = None
    main = next(iter(fields.values()), "")
    beside = main["path"] if isinstance(main, dict) else main
    event = _event(one.leaves, reasons, left_out, payload if place.path is not None else None, beside)
    return Proposal(place.path, who.entity, who.style, quote, event, fields, reasons, left_out)


def _entity_said(who: Who) -> str:
    return ", ".join(f"{name}: {value}" for name, value in who.entity.items())


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
    leaves: Mapping[str, Leaf], reasons: list[Reason], left_out: list[Reason], around: Any, beside: str
) -> dict[str, str] | None:
    times = [
        (Times.rank(path), path, time_unit(leaf.values))
        for path, leaf in leaves.items()
        if Times.rank(path) is not None
    ]
    near = beside.rpartition(".")[0]
    known = sorted(
        (path.rpartition(".")[0] != near, rank, path, unit)
        for rank, path, unit in times
        if unit is not None and rank is not None
    )
    if known and known[0][0] and near and "." not in known[0][2]:
        _, _, path, _ = known[0]
        because = "outside of the data: may be the time of the answer; if the documentation says data: event"
        left_out[:] = [*(reason for reason in left_out if reason.what != path), Reason(path, because)]
    elif known:
        _, _, path, unit = known[0]
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
