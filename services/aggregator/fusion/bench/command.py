"""`parallax bench fusion`: the tables, the JSON and the reliability diagram."""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from services.aggregator.fusion.bench import drawn, generator, score, unseen
from services.aggregator.fusion.bench.baselines import BASELINES
from services.aggregator.fusion.fuser import Fuser
from services.aggregator.fusion.model import Observation, Plain
from services.common import bench

TOL = 5 * generator.BPS
QUESTION = (
    "How often is the fused value within 5 bps of the truth, does its confidence mean what it says, and what do other "
    "rules get on the same windows? Expected: within >= .95, ECE <= .03 overall and <= .10 in each scenario, cov95 >= .93, "
    "never below the best baseline."
)
PACKAGES = ("numpy", "numba", "matplotlib")
OURS = "robust"
UNSEEN_BASELINES = ("median", "band", "gtm")
DRAWN_BASELINES = ("median", "iqr+weights", "band", "gtm", "crh", "accu")
DRAWN_QUESTION = (
    "In worlds that a seed draws from a wide family (2 to 60 providers, up to three faults at once), how often is each rule "
    "within 5 bps, how sure is it, and in how many worlds is another rule better than ours?"
)
SIZES = (("2 to 3", 2, 3), ("4 to 6", 4, 6), ("8 to 16", 8, 16), ("20 to 60", 20, 60))
"""Worlds by their number of providers."""
WORSE = 0.02
"""A rule that is within the tolerance in so many more of a world's windows is better there."""


def main(argv: list[str]) -> int:
    """Run `parallax bench fusion`; 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        prog="parallax bench fusion", description="Accuracy, calibration and cost of the fuser."
    )
    parser.add_argument("--seeds", type=int, default=10, help="runs per scenario (default 10)")
    parser.add_argument(
        "--first-seed", type=int, default=1000, help="seed of the first run; tuning used seeds below 100"
    )
    parser.add_argument("--providers", type=int, nargs="+", default=[24, 50])
    parser.add_argument("--scenario", action="append", help="only these (default: all ten)")
    parser.add_argument("--unseen", action="store_true", help="worlds that nothing was tuned on, instead of the ten")
    parser.add_argument("--drawn", type=int, metavar="N", help="N worlds drawn at random, instead of the ten")
    parser.add_argument("--no-baselines", action="store_true", help="only our own figures")
    parser.add_argument("--speed", action="store_true", help="only what a window costs")
    parser.add_argument("--out", type=Path, default=bench.RESULTS)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args(argv)
    Fuser.warm(wait=True)
    if options.speed:
        results: dict[str, Any] = {"speed": speed()}
        bench.write("fusion-speed", "What does a window cost?", PACKAGES, results, options.out / "fusion-speed.json")
        _print(results if options.json else speed_table(results["speed"]))
        return 0
    if options.drawn:
        results = lottery(range(options.first_seed, options.first_seed + options.drawn))
        bench.write("fusion-drawn", DRAWN_QUESTION, PACKAGES, results, options.out / "fusion-drawn.json")
        _print(results if options.json else lottery_table(results))
        return 0
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    methods = [OURS] if options.no_baselines else [OURS, *UNSEEN_BASELINES] if options.unseen else [OURS, *BASELINES]
    worlds = (
        unseen_worlds()
        if options.unseen
        else {
            f"{name}/{n}": (generator.World(providers=n), rule)
            for n in options.providers
            for name, rule in generator.SCENARIOS.items()
            if not options.scenario or name in options.scenario
        }
    )
    told = dict(_all(list(worlds), options.unseen, list(seeds), methods))
    results = summary(told, methods, list(seeds))
    name = "fusion-unseen" if options.unseen else "fusion"
    where = bench.write(name, QUESTION, PACKAGES, results, options.out / f"{name}.json")
    if not options.unseen:
        diagram(told, options.out / "fusion-reliability.png")
    _print(results if options.json else tables(results, methods))
    sys.stderr.write(f"written: {where}\n")
    return 1 if results["missed"] and not options.unseen else 0


def unseen_worlds() -> dict[str, tuple[generator.World, Callable[[generator.Stage], None]]]:
    """Every extra rule in the usual world, and the extra worlds."""
    return {**{name: (generator.World(), rule) for name, rule in unseen.RULES.items()}, **unseen.WORLDS}


def _all(
    names: list[str], strange: bool, seeds: list[int], methods: list[str]
) -> Iterable[tuple[str, dict[str, list[score.Told]]]]:
    with ProcessPoolExecutor(max_workers=2) as pool:
        jobs = [(name, pool.submit(one_world, name, strange, seeds, methods)) for name in names]
        for name, job in jobs:
            yield name, job.result()


def one_world(name: str, strange: bool, seeds: list[int], methods: list[str]) -> dict[str, list[score.Told]]:
    """All methods over all seeds of one world; the same windows for each."""
    Fuser.warm(wait=True)
    if strange:
        world, rule = unseen_worlds()[name]
    else:
        scenario, _, providers = name.partition("/")
        world, rule = generator.World(providers=int(providers)), generator.SCENARIOS[scenario]
    told: dict[str, list[score.Told]] = {method: [] for method in methods}
    for seed in seeds:
        run = generator.simulate(name, seed, world, rule)
        sizes = np.exp(np.random.default_rng(seed).uniform(0.0, math.log(30.0), world.providers))
        for method in methods:
            told[method].append(score.robust(run, TOL) if method == OURS else score.baseline(method, run, TOL, sizes))
    return told


def one_drawn(seed: int) -> dict[str, Any]:
    """All methods in the world of one seed: how often right, error (cut at 100 tolerances), confidence, ECE, Brier score."""
    Fuser.warm(wait=True)
    world = drawn.draw(seed)
    sizes = np.ones(world.world.providers)
    figures: dict[str, Any] = {"seed": seed, "world": world.name, "providers": world.world.providers}
    for method in (OURS, *DRAWN_BASELINES):
        with warnings.catch_warnings():
            # Some rules have no answer to some windows of two; that counts as an error of 100 tolerances.
            warnings.simplefilter("ignore", RuntimeWarning)
            told = score.robust(world.run, TOL) if method == OURS else score.baseline(method, world.run, TOL, sizes)
        right = told.error <= 1.0
        figures[method] = {
            "within": float(right.mean()),
            "mae_bps": float(np.minimum(np.nan_to_num(told.error, nan=100.0), 100.0).mean()) * TOL * 1e4,
            "confidence": float(told.confidence.mean()),
            "ece": score.ece(told.confidence, right),
            "brier": float(((told.confidence - right) ** 2).mean()),
        }
        if method == OURS:
            figures |= {"hits": told.hits, "false": told.false, "missed": told.missed}
    return figures


def lottery(seeds: range) -> dict[str, Any]:
    """Figures over drawn worlds, each world counting the same."""
    with ProcessPoolExecutor(max_workers=2) as pool:
        worlds = list(pool.map(one_drawn, seeds, chunksize=10))
    methods = (OURS, *DRAWN_BASELINES)
    means = {m: {k: statistics.mean(w[m][k] for w in worlds) for k in worlds[0][OURS]} for m in methods}
    hits, false, missed = (sum(w[k] for w in worlds) for k in ("hits", "false", "missed"))
    sizes = {}
    for name, low, high in SIZES:
        own = [w for w in worlds if low <= w["providers"] <= high]
        if own:
            sizes[name] = {
                "worlds": len(own),
                "within": statistics.mean(w[OURS]["within"] for w in own),
                "confidence": statistics.mean(w[OURS]["confidence"] for w in own),
                "best_single": max(statistics.mean(w[m]["within"] for w in own) for m in DRAWN_BASELINES),
                "worse": sum(max(w[m]["within"] for m in DRAWN_BASELINES) > w[OURS]["within"] + WORSE for w in own),
            }
    return {
        "seeds": [seeds.start, seeds.stop - 1],
        "means": means,
        "precision": hits / max(hits + false, 1),
        "recall": hits / max(hits + missed, 1),
        "sizes": sizes,
        "worlds": worlds,
    }


def lottery_table(results: dict[str, Any]) -> str:
    """The figures over drawn worlds as Markdown, and the worlds in which another rule was most ahead."""
    lines = ["| method | within | MAE bps | confidence | ECE | Brier |", "| --- " + "| ---: " * 5 + "|"]
    for method, s in results["means"].items():
        lines.append(
            f"| {method} | {s['within']:.3f} | {s['mae_bps']:.2f} | {s['confidence']:.3f} | {s['ece']:.3f} | {s['brier']:.3f} |"
        )
    lines += [
        "",
        f"flags: precision {results['precision']:.3f}, recall {results['recall']:.3f}",
        "",
        "| providers | worlds | within | confidence | best single rule | worlds with a better rule |",
        "| --- " + "| ---: " * 5 + "|",
    ]
    for name, s in results["sizes"].items():
        lines.append(
            f"| {name} | {s['worlds']} | {s['within']:.3f} | {s['confidence']:.3f} | {s['best_single']:.3f} | {s['worse']} |"
        )
    behind = sorted(results["worlds"], key=lambda w: w[OURS]["within"] - max(w[m]["within"] for m in DRAWN_BASELINES))
    lines += ["", "furthest behind:"]
    for world in behind[:8]:
        best = max(DRAWN_BASELINES, key=lambda m: world[m]["within"])
        lines.append(
            f"- {world['world']} (seed {world['seed']}): {world[OURS]['within']:.3f}, {best} {world[best]['within']:.3f}"
        )
    return "\n".join(lines)


def summary(told: dict[str, dict[str, list[score.Told]]], methods: list[str], seeds: list[int]) -> dict[str, Any]:
    """Figures per world and overall, their spread over seeds, and which targets are missed."""
    worlds = {world: {m: msgspec.to_builtins(score.score(by[m], TOL)) for m in methods} for world, by in told.items()}
    overall = {m: msgspec.to_builtins(score.score([t for by in told.values() for t in by[m]], TOL)) for m in methods}
    spread = {}
    for figure in ("within", "ece", "cov95", "mae_bps"):
        values = [getattr(score.score([by[OURS][k] for by in told.values()], TOL), figure) for k in range(len(seeds))]
        spread[figure] = {
            "mean": statistics.mean(values),
            "sd": statistics.stdev(values) if len(values) > 1 else 0.0,
            "min": min(values),
            "max": max(values),
            "samples": values,
        }
    ours = overall[OURS]
    missed = [
        text
        for text, good in (
            (f"within {ours['within']:.4f} < .95", ours["within"] >= 0.95),
            (f"ECE {ours['ece']:.4f} > .03", ours["ece"] <= 0.03),
            (f"cov95 {ours['cov95']:.4f} < .93", ours["cov95"] >= 0.93),
            (f"flag precision {ours['precision']} < .95", (ours["precision"] or 0.0) >= 0.95),
            (f"flag recall {ours['recall']} < .80", (ours["recall"] or 0.0) >= 0.80),
        )
        if not good
    ]
    for world, by in worlds.items():
        if by[OURS]["ece"] > 0.10:
            missed.append(f"{world}: ECE {by[OURS]['ece']:.3f} > .10")
        best = max((by[m]["within"] for m in methods if m != OURS), default=0.0)
        if by[OURS]["within"] < best:
            missed.append(f"{world}: within {by[OURS]['within']:.4f} < best baseline {best:.4f}")
    return {
        "tol_bps": TOL * 1e4,
        "seeds": seeds,
        "overall": overall,
        "spread_over_seeds": spread,
        "worlds": worlds,
        "reliability": score.reliability(*_joined(told, OURS)),
        "missed": missed,
    }


def _joined(told: dict[str, dict[str, list[score.Told]]], method: str) -> tuple[Any, Any]:
    every = [t for by in told.values() for t in by[method]]
    return np.concatenate([t.confidence for t in every]), np.concatenate([t.error for t in every]) <= 1.0


def tables(results: dict[str, Any], methods: list[str]) -> str:
    """The figures as Markdown."""
    lines = [
        f"tol {results['tol_bps']:g} bps, {len(results['seeds'])} seeds from {results['seeds'][0]}",
        "",
        "| method | within | MAE bps | p99 bps | ECE | Brier | cov95 |",
        "| --- " + "| ---: " * 6 + "|",
    ]
    for method in methods:
        s = results["overall"][method]
        lines.append(
            f"| {method} | {s['within']:.3f} | {s['mae_bps']:.2f} | {s['p99_bps']:.1f} | {s['ece']:.3f} | "
            f"{s['brier']:.3f} | {s['cov95']:.3f} |"
        )
    lines += [
        "",
        "| world | within | best baseline | MAE bps | best MAE | ECE | conf | cov95 | flags prec. | recall | voices |",
        "| --- " + "| ---: " * 10 + "|",
    ]
    for world, by in results["worlds"].items():
        s = by[OURS]
        others = {m: by[m] for m in methods if m != OURS}
        best = max(others, key=lambda m: others[m]["within"]) if others else ""
        mae = min((o["mae_bps"] for o in others.values()), default=float("nan"))
        shown = f"{others[best]['within']:.3f} {best}" if others else ""
        flags = " | ".join("" if s[k] is None else f"{s[k]:.3f}" for k in ("precision", "recall"))
        lines.append(
            f"| {world} | {s['within']:.3f} | {shown} | {s['mae_bps']:.2f} | {mae:.2f} | {s['ece']:.3f} | "
            f"{s['confidence']:.3f} | {s['cov95']:.3f} | {flags} | {s['voices']:.1f} |"
        )
    lines += ["", "missed: " + ("; ".join(results["missed"]) or "nothing")]
    return "\n".join(lines)


def diagram(told: dict[str, dict[str, list[score.Told]]], path: Path) -> None:
    """Reliability diagram: how often we were right against how sure we were, with the windows per bin below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(5, 6), sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for method in [m for m in (OURS, "median", "pyth", "band", "gtm") if m in next(iter(told.values()))]:
        rows = score.reliability(*_joined(told, method))
        upper.plot(
            [r[0] for r in rows],
            [r[1] for r in rows],
            marker="o",
            markersize=3,
            label=method,
            linewidth=2 if method == OURS else 1,
        )
        if method == OURS:
            lower.bar([r[0] for r in rows], [r[2] for r in rows], width=0.04)
    upper.set_ylabel("share within tolerance")
    upper.legend(frameon=False)
    lower.set_yscale("log")
    lower.set_ylabel("windows")
    lower.set_xlabel("stated confidence")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


def speed(repeats: int = 7, calls: int = 400) -> dict[str, Any]:
    """Microseconds of an answer and of learning, from observations to Answer, and of a start with a warm cache."""
    spec = Plain(name="bench", tolerance=TOL, window_ms=10_000)
    rows = {}
    for n in (1, 2, 3, 6, 24, 50, 100):
        run = generator.simulate("noisy", 7, generator.World(providers=n, windows=calls), generator.noisy)
        windows = [
            (
                int(run.as_of_ms[t]),
                [
                    Observation(p, p, v, ts)
                    for p, v, ts in zip(run.names, run.values[t].tolist(), run.times_ms[t].tolist(), strict=True)
                ],
            )
            for t in range(calls)
        ]
        answers: list[float] = []
        learning: list[float] = []
        for _ in range(repeats):
            fuser = Fuser()
            for as_of_ms, window in windows:
                fuser.advance(as_of_ms)
                start = time.perf_counter_ns()
                fuser.answer(spec, "key", window, as_of_ms)
                middle = time.perf_counter_ns()
                fuser.learn(spec, "key", window, as_of_ms)
                fuser.numbers.learn()
                answers.append((middle - start) / 1000)
                learning.append((time.perf_counter_ns() - middle) / 1000)
        rows[str(n)] = {"answer_us": _cost(answers), "learn_us": _cost(learning)}
    code = (
        "import time; t = time.perf_counter(); from services.aggregator.fusion import Fuser; Fuser.warm(wait=True); "
        "print(time.perf_counter() - t)"
    )
    starts = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
        for _ in range(3)
    ]
    return {
        "windows": rows,
        "start_warm_cache_s": {"median": statistics.median(starts), "samples": starts},
        "state_bytes": state_bytes(),
    }


def state_bytes() -> dict[str, int]:
    """What is written of the learned state, for 50 sources of one metric."""
    run = generator.simulate("clean", 7, generator.World(providers=50, windows=60), generator.clean)
    fuser = Fuser()
    score.robust(run, TOL, fuser)
    return {"sources_and_pairs": len(fuser.dump()), "key": len(fuser.dump_key("key") or b"")}


def _cost(samples: list[float]) -> dict[str, float]:
    return {"p50": float(np.quantile(samples, 0.5)), "p99": float(np.quantile(samples, 0.99)), "min": min(samples)}


def speed_table(results: dict[str, Any]) -> str:
    """The cost of a window as Markdown."""
    lines = ["| sources | answer p50 us | p99 | learn p50 us | p99 |", "| ---: | ---: | ---: | ---: | ---: |"]
    for n, row in results["windows"].items():
        a, b = row["answer_us"], row["learn_us"]
        lines.append(f"| {n} | {a['p50']:.1f} | {a['p99']:.1f} | {b['p50']:.1f} | {b['p99']:.1f} |")
    lines += [
        "",
        f"start with a warm cache: {results['start_warm_cache_s']['median']:.2f} s; "
        f"state of 50 sources: {results['state_bytes']['sources_and_pairs']} bytes, one key: {results['state_bytes']['key']} bytes",
    ]
    return "\n".join(lines)


def _print(what: str | dict[str, Any]) -> None:
    print(what if isinstance(what, str) else msgspec.json.format(msgspec.json.encode(what), indent=2).decode())
