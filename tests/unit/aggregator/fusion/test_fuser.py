"""Laws of the fuser: what may not change an answer, what must, and what is remembered."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs

from services.aggregator.fusion import Answer, Fuser, Observation, Plain
from services.aggregator.fusion.bench import generator, unseen
from services.aggregator.fusion.layout import MOST_SOURCES
from services.aggregator.fusion.quality import Quality
from services.aggregator.fusion.state import SavedKey
from services.aggregator.fusion.strategies import STRATEGIES

PRICE = Plain(name="price", tolerance=5e-4, window_ms=10_000)
AS_OF = 1_700_000_000_000


@pytest.fixture(scope="module", autouse=True)
def ready() -> None:
    Fuser.warm(wait=True)


def said(*values: float | bool | str | list[str], age_ms: int = 0) -> list[Observation]:
    return [Observation(f"p{i}", f"p{i}", value, AS_OF - age_ms) for i, value in enumerate(values)]


def answer(window: list[Observation], spec: Plain = PRICE, fuser: Fuser | None = None) -> Answer:
    return (fuser or Fuser()).answer(spec, "asset:bitcoin", window, AS_OF)


def test_the_worked_example_holds() -> None:
    found = answer(said(65234, 65189, 65210, 78000))
    assert isinstance(found.value, float)
    assert 65205 <= found.value <= 65215
    assert found.confidence >= 0.9
    assert (found.why, found.n_sources) == ([None, None, None, "range"], 3)
    assert found.weights[3] == 0.0
    assert math.isclose(sum(found.weights), 1.0)


@pytest.mark.parametrize("name", ["majority_vote", "outlier_removal", "median"])
def test_the_worked_example_holds_for_named_rules_that_drop_outliers(name: str) -> None:
    found = answer(said(65234, 65189, 65210, 78000), Plain(name="price", tolerance=5e-4, strategy=name))
    assert (found.method, found.why[3]) == (name, "range")
    assert found.confidence >= 0.9


def test_no_observation_is_no_value() -> None:
    none = Quality(0.0, 0.0, 0.0, 0.0, 0.0)
    assert answer([]) == Answer(None, 0.0, None, None, None, [], [], "robust", 0, 0.0, none)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -5.0, 0.0, "high"])
def test_what_is_no_price_is_out_of_range(value: float | str) -> None:
    found = answer(said(100.0, value, 100.02))
    assert found.why == [None, "range", None]
    assert isinstance(found.value, float)
    assert 100.0 <= found.value <= 100.02
    alone = answer(said(value))
    assert alone.confidence == 0.0 if value != 0.0 else alone.value == 0.0


def test_values_outside_the_plausible_range_are_refused() -> None:
    rank = Plain(name="rank", scale="abs", tolerance=1.0, plausible=(1.0, 100.0))
    assert answer(said(5.0, 5.0, 0.0, 101.0), rank).why == [None, None, "range", "range"]


def test_most_saying_nought_means_nought() -> None:
    found = answer(said(0.0, 0.0, 0.0, 7.0), Plain(name="volume_24h", tolerance=0.1))
    assert (found.value, found.why, found.n_sources) == (0.0, [None, None, None, "range"], 3)
    assert found.confidence == pytest.approx(81 / 82)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_was_answered_before_does_not_matter_to_nought(strategy: str) -> None:
    spec, fuser = Plain(name="count", tolerance=0.1, strategy=strategy), Fuser()
    fresh = Fuser().answer(spec, "k", said(0.0, 0.0, 5.0), AS_OF)
    assert fuser.answer(spec, "other", said(4.0, 5.0, 6.0), AS_OF).value != 0.0
    assert fuser.answer(spec, "k", said(0.0, 0.0, 5.0), AS_OF) == fresh


def test_fewer_sources_than_the_minimum_are_not_believed() -> None:
    assert answer(said(100.0, 100.0), Plain(name="price", tolerance=5e-4, min_sources=3)).confidence == 0.5


def test_a_group_is_one_voice() -> None:
    window = [o._replace(group="one") for o in said(100.0, 100.01, 100.02)]
    assert answer(window).n_voices == pytest.approx(3 / (1 + 2 * 0.97))
    assert answer(window).confidence < answer(said(100.0, 100.01, 100.02)).confidence


def test_copies_to_the_last_digit_are_one_voice_where_others_differ() -> None:
    copies = said(*[100.3] * 13, *[100 + 0.01 * i for i in range(11)])
    found = answer(copies)
    assert isinstance(found.value, float)
    assert 100.0 < found.value < 100.1
    assert found.n_voices < 13
    assert set(found.why[:13]) == {"copy"}


def test_equal_values_prove_nothing_where_all_are_equal() -> None:
    assert answer(said(*[21_000_000.0] * 6)).n_voices == 6


def test_an_unmoved_value_is_as_old_as_its_first_sight() -> None:
    fuser = Fuser()
    for t in range(40):
        window = [
            Observation("still", "still", 100.0, AS_OF + t * 5000),
            *(Observation(f"p{i}", f"p{i}", 100.0 * (1 + 1e-4 * t + 1e-5 * i), AS_OF + t * 5000) for i in range(5)),
        ]
        fuser.advance(AS_OF + t * 5000)
        found = fuser.answer(PRICE, "k", window, AS_OF + t * 5000)
        fuser.learn(PRICE, "k", window, AS_OF + t * 5000)
    assert found.why == ["frozen", None, None, None, None, None]


@pytest.mark.parametrize(("factor", "reason"), [(100.0, "unit"), (1e-3, "unit"), (2.0, "range")])
def test_a_power_of_ten_is_a_wrong_unit(factor: float, reason: str) -> None:
    assert answer(said(100.0, 100.01, 100.02, 100.0 * factor)).why[3] == reason


def test_two_against_are_a_camp() -> None:
    assert answer(said(100.0, 100.01, 100.02, 99.99, 101.0, 101.01)).why == [None] * 4 + ["camp"] * 2


prices = st.floats(1e-6, 1e6, allow_nan=False)
near = st.lists(st.floats(-3e-3, 3e-3), min_size=1, max_size=12)


def test_a_voice_at_the_border_of_a_copy_is_called_the_same_in_any_order() -> None:
    # Three equal values among eight share a third of their voice each: 1 / (1 + 2/3) is 0.6 but for the last bits.
    values = (100.0, 100.0, 100.0, 100.19550335910029, 100.2354575759823, 100.19849812120268, 100.19114116618289)
    window = said(*values, 100.25188784772642)
    later = [*window[:5], window[6], window[7], window[5]]
    assert answer(window).why == answer(later).why == ["camp"] * 3 + [None] * 5


@given(near, st.randoms(use_true_random=False))
def test_the_order_of_sources_changes_nothing(offsets: list[float], draw: object) -> None:
    window = said(*[100 * math.exp(x) for x in offsets])
    mixed = list(window)
    draw.shuffle(mixed)  # type: ignore[attr-defined]
    one, two = answer(window), answer(mixed)
    assert two.value == pytest.approx(one.value, rel=1e-9)
    assert two.confidence == pytest.approx(one.confidence, abs=1e-9)
    by = {o.provider: why for o, why in zip(mixed, two.why, strict=True)}
    assert [by[o.provider] for o in window] == one.why


@given(near)
def test_saying_it_twice_changes_nothing(offsets: list[float]) -> None:
    window = said(*[100 * math.exp(x) for x in offsets])
    one, two = answer(window), answer([*window, *window])
    assert (two.value, two.confidence, two.n_voices) == (one.value, one.confidence, one.n_voices)


@given(near, prices)
def test_scaling_all_values_scales_the_answer(offsets: list[float], factor: float) -> None:
    one = answer(said(*[100 * math.exp(x) for x in offsets]))
    two = answer(said(*[100 * factor * math.exp(x) for x in offsets]))
    assert isinstance(one.value, float)
    assert two.value == pytest.approx(one.value * factor, rel=1e-6)
    assert two.confidence == pytest.approx(one.confidence, abs=1e-4)


@given(st.lists(st.floats(-1.5e-3, 1.5e-3), min_size=2, max_size=12, unique=True), st.floats(0.0, 0.95))
def test_a_window_that_agrees_better_is_never_less_confident(offsets: list[float], shrink: float) -> None:
    # Values that differ by less than a rounding error are ties, which may be copies: another question than agreement.
    assume(len({round(x, 7) for x in offsets}) == len(offsets))
    centre = math.log(float(answer(said(*[100 * math.exp(x) for x in offsets])).value) / 100)  # type: ignore[arg-type]
    far = answer(said(*[100 * math.exp(x) for x in offsets]))
    close = answer(said(*[100 * math.exp(centre + shrink * (x - centre)) for x in offsets]))
    assert close.confidence >= far.confidence - 1e-6


@given(
    st.lists(st.one_of(prices, st.floats(), st.booleans(), st.text(max_size=3)), max_size=8),
    st.sampled_from(["rel", "abs", "cat", "set", "text"]),
    st.sampled_from(["robust", *STRATEGIES]),
    st.integers(0, 2**40),
)
def test_an_answer_is_never_nan(values: list[float | bool | str], scale: str, strategy: str, age_ms: int) -> None:
    spec = Plain(name="m", scale=scale, tolerance=0.01, strategy=strategy)
    fuser = Fuser()
    window = said(*values, age_ms=age_ms)
    for t in range(3):
        found = fuser.answer(spec, "k", window, AS_OF + t)
        assert 0.0 <= found.confidence <= 1.0
        assert len(found.weights) == len(found.why) == len(window)
        for number in (found.value, found.low, found.high, found.spread, found.n_voices, *found.weights):
            assert not isinstance(number, float) or not math.isnan(number)
        fuser.learn(spec, "k", window, AS_OF + t)
        fuser.advance(AS_OF + t)


def play(fuser: Fuser, run: generator.Run, first: int, last: int, answers: list[Answer] | None = None) -> None:
    for t in range(first, last):
        as_of = int(run.as_of_ms[t])
        window = [
            Observation(p, p, v, int(ts))
            for p, v, ts in zip(run.names, run.values[t].tolist(), run.times_ms[t].tolist(), strict=True)
            if v == v
        ]
        fuser.advance(as_of)
        found = fuser.answer(PRICE, "k", window, as_of)
        if answers is not None:
            answers.append(found)
        fuser.learn(PRICE, "k", window, as_of)


def test_a_new_worker_continues_where_the_old_one_stopped() -> None:
    run = generator.simulate("mixed", 1, generator.World(windows=120))
    whole, first, second = Fuser(), Fuser(), []
    told: list[Answer] = []
    play(whole, run, 0, 120, told)
    play(first, run, 0, 60)
    key = first.dump_key("k")
    assert key is not None
    resumed = Fuser.load(first.dump())
    resumed.load_key("k", key)
    assert (resumed.dump(), resumed.dump_key("k")) == (first.dump(), key)
    play(resumed, run, 60, 120, second)
    assert second == told[60:]
    assert (resumed.dump(), resumed.dump_key("k")) == (whole.dump(), whole.dump_key("k"))


def test_what_an_older_release_remembered_of_a_key_is_taken_over() -> None:
    run = generator.simulate("noisy", 1, generator.World(windows=30))
    fuser = Fuser()
    play(fuser, run, 0, 30)
    (saved,) = msgspec.msgpack.decode(fuser.dump_key("k") or b"", type=list[SavedKey])
    older = structs.replace(saved, head=saved.head[:-8])
    fresh = Fuser.load(fuser.dump())
    fresh.load_key("k", msgspec.msgpack.encode([older]))
    before, after = fuser.state.keys["k"]["price"].head, fresh.state.keys["k"]["price"].head
    assert (after[:-1].tolist(), after[-1]) == (before[:-1].tolist(), 0.0)


def test_answering_changes_nothing_that_is_remembered() -> None:
    run = generator.simulate("mixed", 2, generator.World(windows=30))
    fuser = Fuser()
    play(fuser, run, 0, 30)
    before = fuser.dump(), fuser.dump_key("k")
    fuser.answer(PRICE, "k", said(65000.0, 64000.0), AS_OF + 10**7)
    fuser.answer(PRICE, "another", said(65000.0, 64000.0), AS_OF + 10**7)
    fuser.answer(Plain(name="other"), "k", said(65000.0, 64000.0), AS_OF + 10**7)
    assert (fuser.dump(), fuser.dump_key("k"), fuser.dump_key("another")) == (*before, None)


def test_what_is_learned_of_sources_counts_from_the_next_epoch() -> None:
    run = generator.simulate("noisy", 1, generator.World(windows=60))
    fuser = Fuser()
    play(fuser, run, 0, 50)
    other = said(65000.0, 65050.0)
    window = [o._replace(provider=run.names[i]) for i, o in enumerate(other)]
    before = fuser.answer(PRICE, "another", window, AS_OF)
    as_of = int(run.as_of_ms[50])
    noisy = [Observation(p, p, v * 1.01, as_of) for p, v in zip(run.names, run.values[50].tolist(), strict=True)]
    fuser.learn(PRICE, "k", noisy, as_of)
    assert fuser.answer(PRICE, "another", window, AS_OF) == before
    fuser.advance(as_of)
    assert fuser.answer(PRICE, "another", window, AS_OF) != before


def test_state_stays_within_its_budget() -> None:
    run = generator.simulate("mixed", 1, generator.World(providers=50, windows=60))
    fuser = Fuser()
    play(fuser, run, 0, 60)
    names = sum(len(p) + 16 for p in run.names)
    assert len(fuser.dump()) <= 40 * 1024 + 50 * 200 + names
    assert len(fuser.dump_key("k") or b"") <= 5 * 1024 + names
    sizes = len(fuser.dump()), len(fuser.dump_key("k") or b"")
    play(fuser, generator.simulate("mixed", 2, generator.World(providers=50, windows=120)), 0, 120)
    assert (len(fuser.dump()), len(fuser.dump_key("k") or b"")) == sizes


def test_strangers_without_end_do_not_fill_a_key() -> None:
    fuser = Fuser()
    for t in range(12):
        window = [Observation(f"s{t}-{i}", f"s{t}-{i}", 100.0 + i / 1e4, AS_OF + t * 5000) for i in range(100)]
        found = fuser.answer(PRICE, "k", window, AS_OF + t * 5000)
        fuser.learn(PRICE, "k", window, AS_OF + t * 5000)
        assert found.value == pytest.approx(100.005, rel=1e-4)
    assert len(fuser.state.keys["k"]["price"].slot_of) <= 2 * MOST_SOURCES


def test_of_too_many_sources_the_heaviest_are_heard() -> None:
    window = [Observation(f"p{i}", f"p{i}", 100.0 + i / 1e4, AS_OF, 0.9 if i >= 50 else 0.1) for i in range(178)]
    found = answer(window)
    assert [i for i, why in enumerate(found.why) if why == "copy"] == list(range(50))


def test_reputation_tells_the_good_from_the_bad() -> None:
    run = generator.simulate("stale", 4, generator.World(windows=240))
    stage = generator.Stage(generator.World(windows=240), 4)
    generator.stale(stage)
    fuser = Fuser()
    play(fuser, run, 0, 240)
    known = Fuser.load(fuser.dump()).reputation()
    late = [known[name]["lag_ms"] for name, hidden in zip(run.names, stage.hidden_s, strict=True) if hidden]
    on_time = [known[name]["lag_ms"] for name, hidden in zip(run.names, stage.hidden_s, strict=True) if not hidden]
    assert min(late) >= 10_000 > 5_000 >= max(on_time)


@pytest.mark.parametrize("rule", [unseen.jitter, unseen.delay, generator.copy], ids=lambda r: r.__name__)
def test_copies_count_as_one_voice_even_with_jitter_or_delay(rule: object) -> None:
    run = generator.simulate("copies", 3, generator.World(windows=400), rule)  # type: ignore[arg-type]
    answers: list[Answer] = []
    play(Fuser(), run, 0, 400, answers)
    assert answers[-1].n_voices <= 17  # of 24 providers, 12 voices
    errors = [abs(math.log(float(a.value) / truth)) for a, truth in zip(answers[100:], run.truth[100:], strict=True)]  # type: ignore[arg-type]
    assert sum(e <= 5e-4 for e in errors) >= 0.95 * len(errors)


def test_forty_per_cent_of_colluding_liars_are_survived() -> None:
    run = generator.simulate("byz40", 5, generator.World(windows=400))
    answers: list[Answer] = []
    play(Fuser(), run, 0, 400, answers)
    right = [abs(math.log(float(a.value) / truth)) <= 5e-4 for a, truth in zip(answers, run.truth, strict=True)]  # type: ignore[arg-type]
    assert sum(right) >= 0.95 * len(right)


def test_a_stablecoin_that_loses_its_peg_is_no_outlier() -> None:
    """All who price it move together: the new price is the answer, nobody is flagged for it."""
    fuser, flags = Fuser(), 0
    spec = Plain(name="price", tolerance=1e-3, window_ms=10_000)
    for t in range(200):
        as_of = AS_OF + t * 5000
        truth = 1.0 - 0.04 * min(max((t - 100) / 40, 0.0), 1.0)
        window = [
            Observation(f"p{i}", f"p{i}", truth * (1 + 1e-4 * math.sin(7 * i + t)), as_of - 200 * i) for i in range(12)
        ]
        fuser.advance(as_of)
        found = fuser.answer(spec, "asset:tether", window, as_of)
        fuser.learn(spec, "asset:tether", window, as_of)
        flags += sum(why is not None for why in found.why)
        assert found.value == pytest.approx(truth, rel=2e-3)
    assert flags == 0
