"""How long an entity is remembered: by the table of categories, unless the setting says otherwise."""

from __future__ import annotations

from schemas import categories
from services.aggregator.app import rules_of
from services.aggregator.engine.model import HOUR_MS
from services.aggregator.settings import AggregatorSettings
from services.common import settings

NAMES = ("market", "news", "whale")


def test_the_table_says_how_long() -> None:
    rules = rules_of(NAMES, AggregatorSettings())
    assert {name: rules[name].limits.expire_ms // HOUR_MS for name in NAMES} == {
        "market": 175_200,
        "news": 720,
        "whale": 168,
    }


def test_the_setting_overrules_it() -> None:
    read = settings.read(AggregatorSettings, {"PARALLAX_EXPIRE_H": "5"})
    assert {rules.limits.expire_ms for rules in rules_of(NAMES, read).values()} == {5 * HOUR_MS}


def test_what_never_ends_is_not_kept_as_long_as_what_is_curated() -> None:
    hours = {name: row.expire_h for name, row in categories.load().items()}
    curated = [
        hours[name] for name, row in categories.load().items() if set(row.entities) <= {"asset", "pair", "chain"}
    ]
    endless = [
        hours[name] for name, row in categories.load().items() if {"story", "transfer", "pool"} & {*row.entities[:1]}
    ]
    assert max(endless) * 100 < min(curated)
