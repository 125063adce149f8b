"""One chain under ten names is one chain."""

from __future__ import annotations

import pytest

from schemas import chains, tables

CHAINS = chains.load()


@pytest.mark.parametrize(
    ("name", "provider", "chain"),
    [
        ("polygon-pos", "coingecko", "polygon"),
        ("polygon_pos", "geckoterminal", "polygon"),
        ("matic-mainnet", "covalent", "polygon"),
        ("137", "goplus", "polygon"),
        (137, None, "polygon"),
        ("eip155:137", None, "polygon"),
        ("polygon", "nobody", "polygon"),
        ("Polygon", None, "polygon"),
        ("OP Mainnet", "defillama", "optimism"),
        ("optimistic-ethereum", "coingecko", "optimism"),
        ("sui-network", "geckoterminal", "sui"),
        ("seiv2", "dexscreener", "sei"),
        ("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", None, "solana"),
        ("polygon-pos", "geckoterminal", None),
        ("eth", None, None),
        (424242, None, None),
    ],
)
def test_a_name_is_read_as_its_provider_means_it(name: str | int, provider: str | None, chain: str | None) -> None:
    assert CHAINS.resolve(name, provider) == chain


def test_evm_ids_come_from_the_caip2_name() -> None:
    evm = {id_: CHAINS[id_].evm_id for id_ in ("ethereum", "base", "bsc", "bitcoin", "tron")}
    assert evm == {"ethereum": 1, "base": 8453, "bsc": 56, "bitcoin": None, "tron": None}


def test_the_chains_that_the_registry_must_cover_are_there() -> None:
    wanted = """ethereum bsc polygon arbitrum optimism base avalanche gnosis fantom sonic celo linea scroll
        zksync blast mantle cronos bitcoin litecoin solana
        tron ton near sui aptos cardano xrpl stellar algorand cosmoshub polkadot tezos starknet multiversx"""
    assert set(wanted.split()) - set(CHAINS) == set()


def test_all_faults_of_the_chains_are_told_at_once() -> None:
    text = """
chains:
  a: {name: A, caip2: "eip155:1", native: ethereum, block_time_s: 0, aliases: {coingecko: same}}
  b: {name: B, caip2: "eip155:one", native: ethereum, block_time_s: 1, aliases: {coingecko: SAME}}
  c: {name: C, caip2: "eip155:1", native: ethereum, block_time_s: 1, colour: red}
  d: {name: D, caip2: "eip155:1", native: ethereum, block_time_s: 1}
"""
    with pytest.raises(tables.TableError) as caught:
        chains.parse(text)
    assert caught.value.faults == (
        "chains.c: Object contains unknown field `colour`",
        "chains.a: block_time_s: expected above 0, got 0.0",
        "chains.b: caip2: expected a number after eip155:, got 'eip155:one'",
        "chains.b: coingecko name 'same' is taken by a",
        "chains.d: caip2 name 'eip155:1' is taken by a",
    )
