"""Where the rows of an unknown answer stand, and by which of their fields our tables know what they are about. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain as chained
from typing import Any, Final, NamedTuple

from schemas.assets import SLUGS
from services.collector.leaves import leaves_of, step, tokens_of
from services.collector.map.identity import Identity
from services.collector.map.symbols import Symbols
from services.collector.registry.model import SymbolStyle
from services.common.errors import DefinitionError

SAMPLE: Final = 500
"""Rows that are looked at."""
DEEPEST: Final = 4
SEPARATORS: Final = ("-", "_", "/", ":", "")
SUFFIXES: Final = {"exchange": ("",), "derivatives": ("-SWAP", "-PERP", "_PERP", "-PERPETUAL", "PERP", "")}
NAMING: Final = (
    "id",
    "slug",
    "symbol",
    "code",
    "ticker",
    "coin",
    "asset",
    "currency",
    "pair",
    "market",
    "instrument",
    "name",
    "key",
)
"""Words of a field that may name an entity, best first."""
SIDES: Final = (("base", "quote"), ("base", "target"))


class Rows(NamedTuple):
    path: str | None
    rows: list[tuple[str | None, dict[str, Any]]]
    """Key (for entries of an object) and row."""


class Who(NamedTuple):
    known: int
    rank: int
    entity: dict[str, str]
    style: dict[str, str] | None
    because: str


def candidates(
    payload: Any, home: str, identity: Identity, entity: str | None, asked: Mapping[str, str]
) -> Iterator[tuple[Rows, Who]]:
    """Every way to take the answer apart: rows, and who they are about by their own fields, by the request, or as the caller says."""
    found = list(places(payload))
    for place in found:
        if entity is not None:
            kind, _, name = entity.partition(":")
            yield place, Who(1, 0, {"kind": kind, "chain_is" if kind == "chain" else "is": name}, None, "you said so")
            continue
        yield from ((place, who) for who in _candidates(place, home, identity, asked))
        yield from ((place, who) for who in _by_request(place, home, identity, asked))


def places(payload: Any) -> list[Rows]:
    """Lists and objects of objects, and the answer itself as one row."""
    found = list(_places(payload, ""))
    if isinstance(payload, dict):
        found.append(Rows(None, [(None, payload)]))
    return found


def named(text: str, home: str, identity: Identity) -> str | None:
    """What a part of an address names: `pair`, `id` of an asset, or `address`; None for anything else."""
    if ADDRESS.fullmatch(text):
        return "address"
    if home in SUFFIXES:
        return (
            "pair"
            if len(text) >= SHORTEST_PAIR and next(_pairs("", [text], home, 0, identity), None) is not None
            else None
        )
    coins = (who for who in _assets("", [text], 0, identity) if "id" in who.entity)
    return "id" if home == "market" and next(coins, None) is not None else None


SHORTEST_PAIR: Final = 6


def unnamed(payload: Any, home: str) -> DefinitionError:
    """Why nothing could be taken from the answer, and the way out."""
    found = list(_places(payload, ""))
    if not found:
        return _no_rows(payload)
    return DefinitionError(
        where=found[0].path or "the answer", expected=f"rows that name {'pairs' if home in SUFFIXES else 'assets'} of our tables",
        got=f"{len(found[0].rows)} rows with {', '.join(list(found[0].rows[0][1])[:12])}",
        do="say what it is about (--entity asset:bitcoin), or add the provider's ids or codes to schemas/assets.yaml or venues.yaml",
    )  # fmt: skip


def _no_rows(payload: Any) -> DefinitionError:
    place = next(_positional(payload, ""), None)
    if place is not None:
        return DefinitionError(
            where=place, expected="rows that are objects with named fields", got="positional arrays, whose places have no names",
            do=f'write the emit by hand from the documentation: rows: {place}, fields as "[0]", "[1]" (docs/providers/format.md, Paths)',
        )  # fmt: skip
    return DefinitionError(
        where="the answer", expected="a list or an object of objects", got=type(payload).__name__,
        do="say what it is about: --entity asset:bitcoin",
    )  # fmt: skip


_ONE: Final = re.compile(r"0x[0-9a-fA-F]{4,}|\d+|.*[:/].*|[A-Z0-9]{3,}([-_][A-Z0-9]+)*|[1-9A-HJ-NP-Za-km-z]{32,44}")
"""A key that names a thing, so that an object of one entry is a table of one row: an address, a number, a symbol."""


def _places(node: Any, path: str, depth: int = 0) -> Iterator[Rows]:
    """Every list or object of objects, from the outside in."""
    if depth > DEEPEST:
        return
    if isinstance(node, list):
        rows = [row for row in node if isinstance(row, dict)]
        if rows and len(rows) == len(node):
            yield Rows(f"{path or '$'}[*]", [(None, row) for row in rows])
        return
    if not isinstance(node, dict):
        return
    values = list(node.values())
    table = len(values) >= 2 or (len(values) == 1 and _ONE.fullmatch(next(iter(node))) is not None)
    if table and all(isinstance(value, dict) and value for value in values) and _alike(values):
        yield Rows(f"{path or '$'}.*", [(key, value) for key, value in node.items()])
        return
    for key, value in node.items():
        yield from _places(value, step(path, key), depth + 1)


def _alike(rows: Sequence[dict[str, Any]]) -> bool:
    """Entries of a table share at least half of their keys."""
    common = set(rows[0]).intersection(*rows[1:])
    return 2 * len(common) >= max(len(row) for row in rows)


def _positional(node: Any, path: str, depth: int = 0) -> Iterator[str]:
    if isinstance(node, list) and node and all(isinstance(row, list) for row in node):
        yield f"{path or '$'}[*]"
    elif isinstance(node, dict) and depth <= DEEPEST:
        values = list(node.values())
        if len(values) >= 2 and all(isinstance(value, list) for value in values):
            yield f"{path or '$'}.*"
        for key, value in node.items():
            yield from _positional(value, step(path, key), depth + 1)


def _candidates(place: Rows, home: str, identity: Identity, asked: Mapping[str, str]) -> Iterator[Who]:
    """Ways to name the rows by the tables; only texts, for numbers that are ids look like any other number."""
    sample = place.rows[:SAMPLE]
    texts = {path: leaf.texts for path, leaf in leaves_of([row for _, row in sample]).items() if leaf.texts}
    if sample[0][0] is not None:
        texts = {"$key": [key for key, _ in sample if key is not None], **texts}
    for path, values in texts.items():
        words = tokens_of(path)
        rank = next((number for number, word in enumerate(NAMING) if words and words[-1] == word), None)
        if rank is None:
            continue
        if home in SUFFIXES:
            yield from _pairs(path, values, home, rank, identity)
        else:
            yield from _assets(path, values, rank, identity)
    if home in SUFFIXES:
        yield from _apart(texts, home, identity)
    if home in TOKENS:
        yield from _tokens(texts, identity, _chain_asked(asked, identity))


def _chain_asked(asked: Mapping[str, str], identity: Identity) -> str | None:
    """The parameter that names a chain which our tables know."""
    return next(
        (name for name, value in asked.items() if "chain" in name.lower() and identity.chains.resolve(value)), None
    )


def _tokens(texts: Mapping[str, list[str]], identity: Identity, chain: str | None) -> Iterator[Who]:
    """Tokens by their contracts, on the chain that a field or the request names."""
    own = next(
        (
            path
            for path, values in texts.items()
            if "chain" in tokens_of(path) and all(map(identity.chains.resolve, values))
        ),
        None,
    )
    where = own or (f"$param.{chain}" if chain is not None else None)
    for path, values in texts.items():
        alone = len(set(values)) >= DISTINCT * len(values) and not ROLES & set(tokens_of(path))
        if where is not None and alone and all(map(ADDRESS.fullmatch, values)):
            yield Who(
                len(values), 400, {"kind": "token", "chain": where, "contract": path}, None,
                f"every {path} is a contract, and {where} names the chain",
            )  # fmt: skip


ROLES: Final = frozenset("creator owner deployer holder from to sender receiver pair pool lp".split())
"""Words of addresses that are not the token itself."""


ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
TOKENS: Final = frozenset({"security", "dex"})
"""Categories whose rows are tokens by their contracts."""


def _by_request(place: Rows, home: str, identity: Identity, asked: Mapping[str, str]) -> Iterator[Who]:
    """What the request asked for: one pair, one asset, one token of a chain, one chain."""
    chain = _chain_asked(asked, identity)
    for name, value in asked.items():
        if not value or "," in value:
            continue
        path = f"$param.{name}"
        found: Iterator[Who] = iter(())
        if home in SUFFIXES:
            found = _pairs(path, [value], home, 50, identity)
        elif home in TOKENS or home == "explorer":
            if ADDRESS.fullmatch(value) and chain is not None:
                said = {"kind": "token", "chain": f"$param.{chain}", "contract": path}
                yield Who(1, 500, said, None, f"{name} is a contract, {chain} its chain")
        elif not CURRENCIES & set(tokens_of(name)):
            found = chained(_assets(path, [value], 50, identity), _bases(path, value, identity))
        for who in found:
            yield who._replace(because=f"the request asked for {name}={value}: {who.because}")
    if chain is not None and home in CHAINED:
        yield Who(
            1, 600, {"kind": "chain", "chain": f"$param.{chain}"}, None, f"the request asked for {chain}={asked[chain]}"
        )


def _bases(path: str, value: str, identity: Identity) -> Iterator[Who]:
    """An asset named by a market of it; its money is in the market's quote."""
    for who in _pairs(path, [value], "exchange", 55, identity):
        yield who._replace(entity={"kind": "asset", "symbol": path})


CURRENCIES: Final = frozenset({"quote", "currency", "vs", "convert", "to", "target"})
CHAINED: Final = frozenset({"rpc", "explorer", "onchain"})


def _assets(path: str, values: list[str], rank: int, identity: Identity) -> Iterator[Who]:
    for table in sorted({name for asset in identity.assets.values() for name in asset.ids} | {SLUGS}):
        known = sum(
            value in identity.assets
            if table == SLUGS
            else not value.isdigit() and identity.asset_by_id(table, value) is not None
            for value in values
        )
        if _enough(known, values):
            # Equal counts: the table that most providers copy their slugs from, then the alphabet.
            order = rank + (0.0 if table == SLUGS else 0.1)
            yield Who(
                known, round(order * 10), {"kind": "asset", "id": path, "table": table}, None,
                f"{known} of {len(values)} values of {path} are ids of table {table} in schemas/assets.yaml; "
                "check that the provider means the same coins",
            )  # fmt: skip
    symbols = Symbols(None, identity.venues.unlisted)
    coins = [coin.asset for value in values if (coin := symbols.coin(value)) is not None]
    known = len(coins)
    if _enough(known, values) and len(set(coins)) == known:
        yield Who(
            known, (rank + 20) * 10, {"kind": "asset", "symbol": path}, None,
            f"{known} of {len(values)} values of {path} are codes of schemas/venues.yaml; "
                "codes are shared by many coins, so check the rare ones",
        )  # fmt: skip


DISTINCT: Final = 0.95
"""More symbols than these that read as one pair belong to different products: a style must tell them apart."""


def _pairs(path: str, values: list[str], home: str, rank: int, identity: Identity) -> Iterator[Who]:
    venue = identity.venues.unlisted
    for separator in SEPARATORS:
        for suffix in SUFFIXES[home]:
            symbols = Symbols(SymbolStyle(separator=separator, suffix=suffix), venue)
            sides = [pair for value in values if (pair := symbols.pair(value)) is not None]
            known = len(sides)
            if _enough(known, values) and len(set(sides)) >= DISTINCT * known:
                lower = all(value == value.lower() for value in values)
                style = {"separator": separator, "case": "lower" if lower else "upper"} | (
                    {"suffix": suffix} if suffix else {}
                )
                yield Who(
                    known, rank * 10, {"kind": "pair" if home == "exchange" else "perp", "symbol": path}, style,
                    f"{known} of {len(values)} values of {path} are two known codes "
                    + (f"with {separator!r} between" if separator else "written together"),
                )  # fmt: skip


def _apart(texts: Mapping[str, list[str]], home: str, identity: Identity) -> Iterator[Who]:
    symbols = Symbols(None, identity.venues.unlisted)
    for base_word, quote_word in SIDES:
        base = next((path for path in texts if base_word in tokens_of(path)), None)
        quote = next((path for path in texts if quote_word in tokens_of(path)), None)
        if base is None or quote is None:
            continue
        known = min(sum(symbols.coin(value) is not None for value in texts[path]) for path in (base, quote))
        if _enough(known, texts[base]):
            kind = "pair" if home == "exchange" else "perp"
            yield Who(
                known, 300, {"kind": kind, "base": base, "quote": quote}, None,
                f"{known} of {len(texts[base])} rows have known codes in {base} and {quote}",
            )  # fmt: skip


def _enough(known: int, values: Sequence[str]) -> bool:
    return known >= 2 or (known == 1 and len(values) == 1)
