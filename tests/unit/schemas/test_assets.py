"""Identities: ids, contracts and collisions."""

from __future__ import annotations

import pytest

from schemas import assets, chains, tables

ASSETS = assets.load()

COLLISIONS = {
    "BTC": {"bitcoin", "batcat"},
    "UNI": {"uniswap", "unicorn-token"},
    "STRK": {"starknet", "strike"},
    "HOT": {"holotoken", "hydro-protocol"},
    "RON": {"ronin", "romanian-leu"},
    "VELO": {"velo", "velodrome-finance"},
    "ACT": {"achain", "act-i-the-ai-prophecy"},
    "BEAM": {"beam", "beam-2"},
    "NEIRO": {"first-neiro-on-ethereum", "neiro-3"},
    "MON": {"monad", "mon-protocol"},
    "TRUMP": {"official-trump", "maga"},
    "HEX": {"hex", "hex-pulsechain"},
    "QUICK": {"quickswap", "quick"},
    "LUNA": {"terra-luna-2", "luna-by-virtuals"},
    "AI": {"sleepless-ai", "any-inu"},
    "VAI": {"vai", "vaiot"},
    "BIFI": {"beefy-finance", "bifi"},
    "USDS": {"usds", "stableusd"},
    "FRAX": {"frax", "frax-share"},
    "USDC": {"usd-coin", "binance-bridged-usdc-bnb-smart-chain"},
    "WBTC": {"wrapped-bitcoin", "arbitrum-bridged-wbtc-arbitrum-one", "polygon-bridged-wbtc-polygon-pos"},
}


@pytest.mark.parametrize("symbol", COLLISIONS)
def test_two_assets_with_one_symbol_stay_two(symbol: str) -> None:
    assert set(ASSETS.by_symbol[symbol]) == COLLISIONS[symbol]
    assert len({ASSETS[asset].name for asset in COLLISIONS[symbol]}) == len(COLLISIONS[symbol])


@pytest.mark.parametrize(
    ("asset", "kind", "of"),
    [
        ("wrapped-bitcoin", "wrapped", "bitcoin"),
        ("coinbase-wrapped-btc", "wrapped", "bitcoin"),
        ("staked-ether", "wrapped", "ethereum"),
        ("weth", "wrapped", "ethereum"),
        ("binance-bitcoin", "bridged", "bitcoin"),
        ("bridged-usdc-polygon-pos-bridge", "bridged", "usd-coin"),
        ("binance-bridged-usdt-bnb-smart-chain", "bridged", "tether"),
        ("tether-gold", "commodity", "gold-ounce"),
    ],
)
def test_wrapped_and_bridged_assets_are_not_their_underlying(asset: str, kind: str, of: str) -> None:
    row = ASSETS[asset]
    assert (row.kind, row.of) == (kind, of)
    assert set(row.contracts.items()).isdisjoint(ASSETS[of].contracts.items())


@pytest.mark.parametrize(
    ("provider", "id_", "asset"),
    [
        ("coinpaprika", "btc-bitcoin", "bitcoin"),
        ("coinpaprika", "aave-new", "aave"),
        ("coinlore", 90, "bitcoin"),
        ("coinlore", "48543", "solana"),
        ("coinmarketcap", 1, "bitcoin"),
        ("coinmarketcap", 1027, "ethereum"),
        ("coincap", "unus-sed-leo", "leo-token"),
        ("coingecko", "bitcoin", "bitcoin"),
        ("coingecko", "a-coin-that-is-not-in-the-table", "a-coin-that-is-not-in-the-table"),
        ("coingecko", "usd", None),
        ("coingecko", "Not An Id", None),
        ("coinpaprika", "bitcoin", None),
        ("coinlore", 1027, None),
        ("nobody", "bitcoin", None),
    ],
)
def test_an_id_means_what_its_provider_means(provider: str, id_: str | int, asset: str | None) -> None:
    assert ASSETS.by_id(provider, id_) == asset


@pytest.mark.parametrize(
    ("chain", "address", "asset"),
    [
        ("ethereum", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "usd-coin"),
        ("polygon", "0x3c499c542cef5e3811e1192ce70d8cc03d5c3359", "usd-coin"),
        ("polygon", "0x2791bca1f2de4661ed88a30c99a7a9449aa84174", "bridged-usdc-polygon-pos-bridge"),
        ("base", "0x4200000000000000000000000000000000000006", "l2-standard-bridged-weth-base"),
        ("optimism", "0x4200000000000000000000000000000000000006", "l2-standard-bridged-weth-optimism"),
        ("solana", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", "usd-coin"),
        ("solana", "epjfwdd5aufqssqem2qn1xzybapc8g4weggkzwytdt1v", None),
        ("polygon", "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", None),
        ("nowhere", "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", None),
    ],
)
def test_a_contract_is_one_asset_on_one_chain(chain: str, address: str, asset: str | None) -> None:
    assert ASSETS.by_contract(chain, address) == asset


def test_the_money_of_the_contracts_is_there_and_quotes_prices() -> None:
    money = ("usd", "euro", "british-pound", "japanese-yen", "korean-won", "tether", "usd-coin", "bitcoin")
    assert [name for name in money if not ASSETS[name].quote] == []
    assert {ASSETS[name].kind for name in money[:5]} == {"fiat"}


def test_native_assets_of_all_chains_are_in_the_table() -> None:
    assert [chain.id for chain in chains.load().values() if chain.native not in ASSETS] == []


def test_identity_is_as_broad_as_it_is_said_to_be() -> None:
    symbols: dict[str, set[str]] = {}
    for asset in ASSETS.values():
        symbols.setdefault(asset.symbol, set()).add(asset.id)
    assert sum(len(shared) > 1 for shared in symbols.values()) >= 20
    held = {chain for asset in ASSETS.values() for chain in asset.contracts}
    assert len(held) >= 25
    assert all(chains.load()[chain].caip2 for chain in held)
    counted = {
        table: sum(table in asset.ids for asset in ASSETS.values()) for table in ("coinmarketcap", "coinpaprika")
    }
    assert min(counted.values()) >= 300


def test_all_faults_of_the_assets_are_told_at_once() -> None:
    natives = "".join(
        f"  {native}: {{symbol: X{number}, name: N, kind: coin}}\n"
        for number, native in enumerate(sorted({chain.native for chain in chains.load().values()} - {"ethereum"}))
    )
    text = f"""
assets:
{natives}
  ethereum: {{symbol: eth, name: E, kind: coin, ids: {{coinlore: "80", coingecko: ethereum}}}}
  Bad: {{symbol: B, name: B, kind: stablecoin, ids: {{coinlore: "80"}}}}
  w: {{symbol: W, name: W, kind: wrapped, contracts: {{ethereum: "0xABC", mars: "1"}}}}
  t: {{symbol: T, name: T, kind: token, of: nothing, peg: w}}
  u: {{symbol: U, name: U, kind: unit}}
"""
    with pytest.raises(tables.TableError) as caught:
        assets.parse(text)
    assert caught.value.faults == (
        "assets.u: Invalid enum value 'unit' - at `$.kind`",
        "assets.ethereum: symbol: expected upper case, got 'eth'",
        "assets.ethereum: ids.coingecko: the key is CoinGecko's id; delete it",
        "assets.Bad: expected an id of lower case letters, digits, dots, dashes and underscores",
        "assets.Bad: peg: expected what this stablecoin is held to",
        "assets.Bad: coinlore '80' is taken by ethereum",
        "assets.w: of: expected the asset that this wrapped one stands for",
        "assets.w: contracts.ethereum: expected 0x and 40 digits in lower case, got '0xABC'",
        "assets.w: contracts: expected a chain of chains.yaml, got 'mars'",
        "assets.t: peg: expected none for a token",
        "assets.t: of: expected none for a token",
        "assets.t: of: expected another asset of assets.yaml, got 'nothing'",
    )
