"""Entity and quote rules compiled to readers `(row, at) -> entity, or Unknown with the spelling that no table knows`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from schemas.stories import story_of
from schemas.venues import Coin, Pair
from services.collector.map.identity import Identity, canonical_address, canonical_hash
from services.collector.map.paths import At, getter, key_of, parse
from services.collector.map.symbols import LARGEST_CACHE, Symbols
from services.collector.map.values import Bad, number, text, time_reader
from services.collector.registry.mapping import EntityRule, QuoteRule
from services.collector.registry.model import Provider
from services.common.errors import DefinitionError


class Unknown(NamedTuple):
    """The row is about something that our tables do not know; not a fault of the row."""

    spelling: str


class Scaled(NamedTuple):
    """A name, and how many units of the asset one unit of the venue's code is (1000SHIB: 1000)."""

    name: str
    units: float


NameReader = Callable[[Any, At], "str | Unknown"]
EntityReader = Callable[[Any, At], "str | Scaled | Unknown"]
Word = Callable[[Any, At], "str | None"]

MARKETS = ("pair", "perp", "future", "option")


def _word(path: str, where: str) -> Word:
    get = getter(parse(path, where))

    def word(row: Any, at: At) -> str | None:
        value = get(row, at)
        if type(value) is str:
            return value or None
        spelled = text(value)
        return spelled if isinstance(spelled, str) else None

    return word


class Sources:
    """What entity rules of one provider read from: its tables and styles."""

    def __init__(self, provider: Provider, identity: Identity) -> None:
        self.provider = provider
        self.identity = identity
        self._styles: dict[str, Symbols] = {}

    def style(self, name: str, where: str) -> Symbols:
        """Symbols of one style of the provider."""
        if name not in self._styles:
            if name != "default" and name not in self.provider.symbols:
                styles = ", ".join(self.provider.symbols) or "none"
                raise DefinitionError(where=f"{where}.style", expected=f"one of symbols: {styles}", got=repr(name))
            self._styles[name] = self.identity.symbols_of(self.provider, name)
        return self._styles[name]

    def chain(self, name: str) -> str | None:
        """Our chain id of the provider's chain name, or of an EVM chain id."""
        own = self.provider.chains.get(name) or self.provider.chains.get(name.lower())
        return own or self.identity.chains.resolve(name, self.provider.id)


def entity_reader(rule: EntityRule, sources: Sources, where: str) -> EntityReader:
    """Reader of what a row is about."""
    where = f"{where}.entity"
    if rule.fixed is not None:
        name = f"{rule.kind}:{rule.fixed}"
        return lambda row, at: name
    if rule.kind == "asset":
        return _named("asset", asset_reader(rule, sources, where))
    if rule.kind in MARKETS:
        return _market(rule, sources, where)
    if rule.kind == "story":
        return _story(rule, where)
    if rule.kind == "chain":
        return _named("chain", _chain(rule, sources, where))
    return _placed(rule, sources, where)


def _named(kind: str, read: EntityReader) -> EntityReader:
    known: dict[str, str] = {}

    def named(row: Any, at: At) -> str | Scaled | Unknown:
        name = read(row, at)
        if isinstance(name, Unknown):
            return name
        if isinstance(name, Scaled):
            return Scaled(f"{kind}:{name.name}", name.units)
        entity = known.get(name)
        if entity is None:
            entity = known[name] = f"{kind}:{name}"
        return entity

    return named


def asset_reader(rule: EntityRule, sources: Sources, where: str) -> EntityReader:
    """Reader of an asset id by provider id, contract or curated symbol."""
    identity, provider = sources.identity, sources.provider
    if rule.id is not None:
        table = rule.table or provider.ids or provider.id
        word = _word(rule.id, f"{where}.id")
        known: dict[str, str | None] = {}

        def by_id(row: Any, at: At) -> str | Unknown:
            spelled = word(row, at)
            if spelled is None:
                return Unknown("")
            if spelled not in known:
                known[spelled] = identity.asset_by_id(table, spelled)
            return known[spelled] or Unknown(spelled)

        return by_id
    if rule.contract is not None:
        return _by_contract(rule, sources, where)
    if rule.symbol is not None:
        symbols = sources.style(rule.style, where)
        word = _word(rule.symbol, f"{where}.symbol")

        def by_symbol(row: Any, at: At) -> str | Scaled | Unknown:
            spelled = word(row, at)
            if spelled is None:
                return Unknown("")
            coin = symbols.base(spelled, at.payload.at_ms)
            if coin is None:
                return Unknown(spelled)
            return coin.asset if coin.units == 1.0 else Scaled(coin.asset, coin.units)

        return by_symbol
    raise DefinitionError(where=where, expected="one of is, id, contract, symbol", got="none of them")


def _by_contract(rule: EntityRule, sources: Sources, where: str) -> EntityReader:
    chain = _chain(rule, sources, where)
    word = _word(rule.contract or "", f"{where}.contract")

    def by_contract(row: Any, at: At) -> str | Unknown:
        on, spelled = chain(row, at), word(row, at)
        if isinstance(on, Unknown) or spelled is None:
            return Unknown(spelled or "")
        return sources.identity.asset_by_contract(on, spelled) or Unknown(f"{on}:{spelled}")

    return by_contract


def _chain(rule: EntityRule, sources: Sources, where: str) -> NameReader:
    if rule.chain_is is not None:
        name = rule.chain_is
        return lambda row, at: name
    if rule.chain is None:
        raise DefinitionError(where=where, expected="chain or chain_is", got="neither")
    word = _word(rule.chain, f"{where}.chain")

    def chain(row: Any, at: At) -> str | Unknown:
        spelled = word(row, at)
        if spelled is None:
            return Unknown("")
        return sources.chain(spelled) or Unknown(spelled)

    return chain


def sides_reader(rule: EntityRule, sources: Sources, where: str) -> Callable[[Any, At], Pair | Unknown]:
    """Reader of base and quote of a market."""
    symbols = sources.style(rule.style, where)
    if rule.symbol is not None:
        word = _word(rule.symbol, f"{where}.symbol")

        def by_symbol(row: Any, at: At) -> Pair | Unknown:
            spelled = word(row, at)
            if spelled is None:
                return Unknown("")
            return symbols.pair(spelled, at.payload.at_ms) or Unknown(spelled)

        return by_symbol
    if rule.base is None or (rule.quote is None and rule.quote_is is None):
        raise DefinitionError(where=where, expected="symbol, or base with quote or quote_is, or is", got="none of them")
    first = _word(rule.base, f"{where}.base")
    second = _word(rule.quote, f"{where}.quote") if rule.quote is not None else None

    def by_sides(row: Any, at: At) -> Pair | Unknown:
        base_word = first(row, at)
        quote_word = second(row, at) if second is not None else None
        at_ms = at.payload.at_ms
        base = symbols.coin(base_word, at_ms) if base_word is not None else None
        quote = Coin(rule.quote_is) if rule.quote_is is not None else symbols.coin(quote_word or "", at_ms)
        return Pair.of(base, quote) or Unknown(f"{base_word or ''}/{rule.quote_is or quote_word or ''}")

    return by_sides


def _market(rule: EntityRule, sources: Sources, where: str) -> EntityReader:
    read = sides_reader(rule, sources, where)
    kind = rule.kind
    tail = _tail(rule, where)
    known: dict[Pair, str] = {}

    def market(row: Any, at: At) -> str | Scaled | Unknown:
        sides = read(row, at)
        if isinstance(sides, Unknown):
            return sides
        entity = known.get(sides)
        if entity is None:
            entity = known[sides] = f"{kind}:{sides.base}/{sides.quote}"
        if tail is not None:
            rest = tail(row, at)
            if isinstance(rest, Unknown):
                return rest
            entity = f"{entity}:{rest}"
        return entity if sides.units == 1.0 else Scaled(entity, sides.units)

    return market


def _tail(rule: EntityRule, where: str) -> NameReader | None:
    """Expiry, strike and right of dated contracts."""
    if rule.kind not in ("future", "option"):
        return None
    if rule.expiry is None:
        raise DefinitionError(where=where, expected="expiry", got="none", do="a dated contract is named by its expiry")
    paths = [rule.expiry.path] if isinstance(rule.expiry.path, str) else rule.expiry.path
    getters = [getter(parse(path, f"{where}.expiry")) for path in paths]
    moment = time_reader(rule.expiry.unit, rule.expiry.format, rule.expiry.zone_h, rule.expiry.add_s)
    strike = getter(parse(rule.strike, f"{where}.strike")) if rule.strike is not None else None
    right = _word(rule.right, f"{where}.right") if rule.right is not None else None

    def tail(row: Any, at: At) -> str | Unknown:
        written = next((value for get in getters if (value := get(row, at)) not in (None, "")), None)
        expiry_ms = moment(written)
        if expiry_ms is None or isinstance(expiry_ms, Bad) or not 0 < expiry_ms < LAST_EXPIRY_MS:
            return Unknown(f"expiry {written!r}")
        parts = [datetime.fromtimestamp(expiry_ms / 1000, UTC).strftime("%Y-%m-%d")]
        if strike is not None:
            price = number(strike(row, at))
            if price is None or isinstance(price, Bad):
                return Unknown("strike")
            parts.append(f"{price:.12g}")
        if right is not None:
            word = (right(row, at) or "").lower()
            if word[:1] not in ("c", "p"):
                return Unknown(f"right {word!r}")
            parts.append("call" if word[0] == "c" else "put")
        return ":".join(parts)

    return tail


LAST_EXPIRY_MS = 4_102_444_800_000
"""Year 2100: perpetuals are written as expiring in the year 3000 by some venues; they are not dated."""


def _story(rule: EntityRule, where: str) -> EntityReader:
    if rule.url is None:
        raise DefinitionError(where=where, expected="url", got="none")
    word = _word(rule.url, f"{where}.url")

    def story(row: Any, at: At) -> str | Unknown:
        url = word(row, at) or ""
        return story_of(url) or Unknown(url)

    return story


def _placed(rule: EntityRule, sources: Sources, where: str) -> EntityReader:
    """Things that are named by an address, hash or id, on a chain where there is one."""
    path = rule.contract or rule.address or rule.hash or rule.id
    if path is None:
        raise DefinitionError(where=where, expected="one of is, contract, address, hash, id", got="none of them")
    word = _word(path, where)
    chain = _chain(rule, sources, where) if rule.chain is not None or rule.chain_is is not None else None
    kind = rule.kind
    lower = rule.id is not None and path == rule.id and kind in ("protocol", "collection")
    hashed = kind in ("transfer", "transaction")
    if kind in ("token", "address", "transfer", "transaction") and chain is None:
        raise DefinitionError(where=where, expected="chain or chain_is", got="neither")

    def placed(row: Any, at: At) -> str | Unknown:
        spelled = word(row, at)
        if spelled is None:
            return Unknown("")
        name = spelled.lower() if lower else canonical_address(spelled)
        if chain is None:
            return f"{kind}:{name}"
        on = chain(row, at)
        if hashed and not isinstance(on, Unknown):
            name = canonical_hash(spelled, sources.identity.chains[on].evm_id is not None)
        return on if isinstance(on, Unknown) else f"{kind}:{on}:{name}"

    return placed


def _unscaled(read: EntityReader) -> NameReader:
    def name(row: Any, at: At) -> str | Unknown:
        found = read(row, at)
        return found.name if isinstance(found, Scaled) else found

    return name


def quote_reader(rule: str | QuoteRule | None, sources: Sources, entity: EntityRule, where: str) -> NameReader | None:
    """Reader of the asset in which money is counted; None when the emit has no money."""
    where = f"{where}.quote"
    if rule is None:
        return None
    if rule == "pair":
        if entity.fixed is not None and "/" in entity.fixed:
            quote = entity.fixed.split("/")[1]
            return lambda row, at: quote
        read = sides_reader(entity, sources, where)

        def of_pair(row: Any, at: At) -> str | Unknown:
            sides = read(row, at)
            return sides if isinstance(sides, Unknown) else sides.quote

        return of_pair
    if isinstance(rule, str):
        if rule not in sources.identity.assets:
            raise DefinitionError(where=where, expected="an asset id of schemas/assets.yaml, or pair", got=repr(rule))
        return lambda row, at: rule
    if rule.symbol is not None:
        symbols = sources.style(rule.style, where)
        word = _word(rule.symbol, where)

        def of_symbol(row: Any, at: At) -> str | Unknown:
            spelled = word(row, at)
            coin = symbols.coin(spelled, at.payload.at_ms) if spelled is not None else None
            return coin.asset if coin is not None and coin.units == 1.0 else Unknown(spelled or "")

        return of_symbol
    if rule.id is not None:
        return _unscaled(asset_reader(EntityRule(kind="asset", id=rule.id), sources, where))
    raise DefinitionError(where=where, expected="symbol or id", got="neither")


class Subject(NamedTuple):
    """What a row is about, in what its money is counted, and for how many units of the base."""

    entity: str
    quote: str | None
    units: float


SubjectReader = Callable[[Any, At], "Subject | Unknown"]


def subject_reader(rule: EntityRule, quote: str | QuoteRule | None, sources: Sources, where: str) -> SubjectReader:
    """Entity and quote together; a market's symbol is looked up once, and remembered."""
    about = entity_reader(rule, sources, where)
    money = quote_reader(quote, sources, rule, where)

    def whole(row: Any, at: At) -> Subject | Unknown:
        entity = about(row, at)
        if isinstance(entity, Unknown):
            return entity
        name, units = entity if isinstance(entity, Scaled) else (entity, 1.0)
        if money is None:
            return Subject(name, None, units)
        counted = money(row, at)
        return counted if isinstance(counted, Unknown) else Subject(name, counted, units)

    if rule.symbol is None or rule.kind not in ("asset", "pair", "perp") or isinstance(quote, QuoteRule):
        return whole
    settled_ms = sources.style(rule.style, where).settled_ms
    key = key_of(parse(rule.symbol, f"{where}.symbol"))
    word = _word(rule.symbol, f"{where}.symbol")
    known: dict[str, Subject] = {}

    def remembered(row: Any, at: At) -> Subject | Unknown:
        if at.payload.at_ms < settled_ms:
            return whole(row, at)
        spelled = row.get(key) if key is not None and type(row) is dict else None
        if type(spelled) is not str:
            spelled = word(row, at)
        found = known.get(spelled) if spelled is not None else None
        if found is None:
            fresh = whole(row, at)
            if isinstance(fresh, Unknown) or spelled is None:
                return fresh
            if len(known) >= LARGEST_CACHE:
                known.clear()
            found = known[spelled] = fresh
        return found

    return remembered
