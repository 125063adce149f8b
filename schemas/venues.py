"""Which assets a venue means by a symbol, from venues.yaml. Pure: the same symbol, venue and time give the same pair."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from schemas import assets, tables

FILE = "venues.yaml"
LARGEST_CACHE = 50_000
"""Symbols remembered per venue: more than any venue lists, so only an endless stream of nonsense empties it."""


class Coin(NamedTuple):
    """What a code stands for."""

    asset: str
    units: float = 1.0
    """Whole units of the asset in one unit of the code: 1000 for 1000SHIB."""


class Pair(NamedTuple):
    """What a symbol stands for. Prices of the symbol are for `units` of the base."""

    base: str
    quote: str
    units: float = 1.0

    @classmethod
    def of(cls, base: Coin | None, quote: Coin | None) -> Pair | None:
        """Two coins as a pair; None when one is not known, both are one asset, or prices would be in bundles of the quote."""
        if base is None or quote is None or quote.units != 1.0 or base.asset == quote.asset:
            return None
        return cls(base.asset, quote.asset, base.units)


def reading(
    splits: Iterable[tuple[str, str]], coin: Callable[[str], Coin | None], guesses: bool
) -> tuple[Pair | None, bool]:
    """(pair, whether one split has a meaning): the first meaning counts; among guessed quotes only one that no other contradicts."""
    found: Pair | None = None
    for base, quote in splits:
        pair = Pair.of(coin(base), coin(quote))
        if pair is not None and not guesses:
            return pair, True
        if pair is not None and found is not None and found != pair:
            return None, True
        found = pair or found
    return found, found is not None


class Past(Struct, frozen=True, forbid_unknown_fields=True):
    """What a code meant before a date (00:00 UTC)."""

    code: str
    asset: str | None
    before: dt.date
    why: str

    @property
    def before_ms(self) -> int:
        """The date as epoch milliseconds."""
        return int(dt.datetime(self.before.year, self.before.month, self.before.day, tzinfo=dt.UTC).timestamp() * 1000)


class Format(Struct, frozen=True, forbid_unknown_fields=True):
    """One way in which a venue spells pairs."""

    separator: str = ""
    order: Literal["base_quote", "quote_base"] = "base_quote"
    prefix: str = ""
    suffix: str = ""
    """A # stands for one digit."""
    quote: str | None = None
    """Code of the quote, when the symbol names the base only."""


class _Units(Struct, frozen=True, forbid_unknown_fields=True):
    asset: str
    units: float


_Code = str | _Units | None


class _Venue(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    formats: list[Format]
    quotes: list[str] = []
    codes: dict[str, _Code] = {}
    refused: dict[str, str] = {}
    past: list[Past] = []
    spelled: dict[str, str] = {}
    """Asset -> code, where a venue has several and one of its own is not the one to ask with."""
    trust: Literal["all", "major"] = "all"


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    shared: dict[str, str | None]
    codes: dict[str, _Code]
    refused: dict[str, str]
    past: list[Past]
    major: list[str]
    venues: dict[str, dict[str, Any]]


class Venue:
    """One venue's reading of codes and symbols."""

    def __init__(self, name: str, row: _Venue, general: Mapping[str, Coin], past: Sequence[Past]) -> None:
        known = assets.load()
        self.name = name
        self.formats = tuple(row.formats)
        own = {code: _coin(value) for code, value in row.codes.items()}
        gone = {*row.refused, *(code for code, coin in own.items() if coin is None)}
        self._codes = {
            **{code: coin for code, coin in general.items() if code not in gone},
            **{code: coin for code, coin in own.items() if coin is not None},
        }
        decided = gone | own.keys() | {row_.code for row_ in row.past}
        self._past: dict[str, list[Past]] = {}
        for then in (*row.past, *(p for p in past if p.code not in decided)):
            self._past.setdefault(then.code, []).append(then)
        for rows in self._past.values():
            rows.sort(key=lambda then: then.before_ms)
        quotes = row.quotes or [
            code for code, coin in self._codes.items() if coin.units == 1.0 and known[coin.asset].quote
        ]
        self.quotes = tuple(sorted(quotes, key=lambda code: (-len(code), code)))
        """Codes in which the venue states prices, longest first."""
        self.guesses = not row.quotes
        """Whether these are all that any venue uses: then a joined symbol with two readings has none (AVAXCHF, USDTUSD)."""
        self._pairs: dict[str, Pair | None] = {}
        self._spelled: dict[str, str] = {}
        for code, coin in self._codes.items():
            if coin.units == 1.0 and (code in own or code == known[coin.asset].symbol):
                self._spelled[coin.asset] = code
        self._spelled.update(row.spelled)

    @property
    def settled_ms(self) -> int:
        """From this moment on every code of the venue means what it means today."""
        return max((then.before_ms for rows in self._past.values() for then in rows), default=0)

    def code(self, asset: str) -> str | None:
        """The venue's code of an asset; None when it has none."""
        return self._spelled.get(asset)

    def coin(self, code: str, at_ms: int | None = None) -> Coin | None:
        """What the venue means by a code, now or at a time; None when the tables do not say."""
        code = code.upper()
        if at_ms is not None:
            for then in self._past.get(code, ()):
                if at_ms < then.before_ms:
                    return Coin(then.asset) if then.asset is not None else None
        return self._codes.get(code)

    def resolve(self, symbol: str, at_ms: int | None = None) -> Pair | None:
        """The pair that a symbol stands for, now or at a time; None when a side is unknown."""
        if at_ms is not None and self._past:
            return self._read(symbol, at_ms)
        try:
            return self._pairs[symbol]
        except KeyError:
            if len(self._pairs) >= LARGEST_CACHE:
                self._pairs.clear()
            pair = self._pairs[symbol] = self._read(symbol, None)
            return pair

    def spell(self, base: str, quote: str) -> str | None:
        """The venue's symbol of a pair of asset ids, in its first format; None when it has no code for a side."""
        form = self.formats[0]
        first, second = self._spelled.get(base), self._spelled.get(quote)
        if first is None or second is None or "#" in form.suffix:
            return None
        if form.quote is not None:
            return f"{form.prefix}{first}{form.suffix}" if form.quote == second else None
        if form.order == "quote_base":
            first, second = second, first
        return f"{form.prefix}{first}{form.separator}{second}{form.suffix}"

    def _read(self, symbol: str, at_ms: int | None) -> Pair | None:
        for form in self.formats:
            body = _between(symbol, form.prefix, form.suffix)
            if body is None:
                continue
            pair, has_meaning = reading(self._splits(body, form), lambda code: self.coin(code, at_ms), self.guesses)
            if has_meaning:
                return pair
        return None

    def _splits(self, body: str, form: Format) -> Iterator[tuple[str, str]]:
        if form.quote is not None:
            yield body, form.quote
        elif form.separator:
            sides = body.split(form.separator)
            if len(sides) == 2:
                yield (sides[0], sides[1]) if form.order == "base_quote" else (sides[1], sides[0])
        else:
            upper = body.upper()
            for quote in self.quotes:
                if upper.endswith(quote) and len(upper) > len(quote):
                    yield upper[: -len(quote)], quote


class Venues(Mapping[str, Venue]):
    """Venues by name. A venue that is not listed is read by the major codes, with any separator."""

    def __init__(self, venues: dict[str, Venue], unlisted: Venue) -> None:
        self._venues = venues
        self.unlisted = unlisted

    def __getitem__(self, name: str) -> Venue:
        return self._venues[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._venues)

    def __len__(self) -> int:
        return len(self._venues)

    def find(self, name: str) -> Venue:
        """The venue of this name, or the reading of unlisted ones."""
        return self._venues.get(name, self.unlisted)


_UNLISTED = _Venue(formats=[Format(separator=s) for s in "-/_:"] + [Format()], trust="major")


def parse(text: str) -> Venues:
    """The venues that a text of venues.yaml holds; TableError lists every fault."""
    faults: list[str] = []
    file = tables.rows("", {"file": tables.parse(FILE, text)}, _File, faults).get("file")
    if file is None:
        raise tables.TableError(FILE, faults)
    known = assets.load()
    general = _general(file, known, faults)
    major = {code: general[code] for code in file.major if code in general}
    faults += [f"major: {code}: expected a code that is decided above" for code in file.major if code not in general]
    rows = tables.rows("venues", file.venues, _Venue, faults)
    for where, codes, past in (
        ("", file.codes, file.past),
        *((f"venues.{n}.", r.codes, r.past) for n, r in rows.items()),
    ):
        named = [(f"codes.{code}", coin.asset) for code, value in codes.items() if (coin := _coin(value)) is not None]
        named += [(f"past.{then.code}", then.asset) for then in past if then.asset is not None]
        faults += [
            f"{where}{what}: expected an asset of {assets.FILE}, got {asset!r}"
            for what, asset in named
            if asset not in known
        ]
        faults += [f"{where}codes.{code}: expected upper case" for code in codes if code != code.upper()]
    for name, row in rows.items():
        if not row.formats:
            faults.append(f"venues.{name}: formats: expected one or more")
        own = {**general, **row.codes}
        faults += [
            f"venues.{name}: quotes: {code}: expected a code that is decided above"
            for code in row.quotes
            if code not in own
        ]
        faults += [
            f"venues.{name}: spelled: {asset}: expected a code of it, got {code!r}"
            for asset, code in row.spelled.items()
            if (found := _coin(own.get(code))) is None or found.asset != asset
        ]
        faults += [f"venues.{name}: {code}: refused and a code at once" for code in row.codes if code in row.refused]
    if faults:
        raise tables.TableError(FILE, faults)
    trusted: dict[str, Mapping[str, Coin]] = {"all": general, "major": major}
    return Venues(
        {
            name: Venue(name, row, trusted[row.trust], file.past if row.trust == "all" else ())
            for name, row in rows.items()
        },
        Venue("", _UNLISTED, major, ()),
    )


@cache
def load() -> Venues:
    """The venues of this release; read once."""
    return parse(tables.read(FILE))


def resolve(venue: str, symbol: str, at_ms: int | None = None) -> Pair | None:
    """The pair that a venue means by a symbol, now or at a time; None when the curated tables do not say."""
    return load().find(venue).resolve(symbol, at_ms)


def coin(venue: str, code: str, at_ms: int | None = None) -> Coin | None:
    """The asset that a venue means by a code, now or at a time; None when the curated tables do not say."""
    return load().find(venue).coin(code, at_ms)


def _general(file: _File, known: assets.Assets, faults: list[str]) -> dict[str, Coin]:
    general: dict[str, Coin] = {}
    for symbol, ids in known.by_symbol.items():
        if len(ids) == 1:
            general[symbol] = Coin(ids[0])
        elif symbol not in file.shared:
            faults.append(f"shared: {symbol}: expected a decision, {', '.join(ids)} have it")
    for symbol, asset in file.shared.items():
        if symbol not in known.by_symbol or (asset is not None and asset not in known.by_symbol[symbol]):
            faults.append(
                f"shared: {symbol}: expected one of {', '.join(known.by_symbol.get(symbol, ('no asset',)))}, got {asset!r}"
            )
        elif asset is not None:
            general[symbol] = Coin(asset)
    for code, value in file.codes.items():
        found = _coin(value)
        if found is None:
            general.pop(code, None)
        elif found.asset in known:
            general[code] = found
    for code in file.refused:
        general.pop(code, None)
    return general


def _coin(value: _Code | Coin) -> Coin | None:
    if value is None or isinstance(value, Coin):
        return value
    return Coin(value) if isinstance(value, str) else Coin(value.asset, value.units)


def _between(symbol: str, prefix: str, suffix: str) -> str | None:
    """The symbol without prefix and suffix; None when it has not both."""
    end = len(symbol) - len(suffix)
    if not symbol.startswith(prefix) or end <= len(prefix):
        return None
    for came, expected in zip(symbol[end:], suffix, strict=True):
        if came != expected and not (expected == "#" and came.isdecimal()):
            return None
    return symbol[len(prefix) : end]
