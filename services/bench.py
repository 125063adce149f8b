"""`parallax bench NAME`: rows of (name, where it lives, sentence); each writes bench/results/<name>.json."""

from __future__ import annotations

import sys

from services.cli import EXIT_DONE, EXIT_WRONG_CALL, Command, dispatch, unknown

BENCHES: tuple[Command, ...] = (
    Command(
        "aggregator", "services.aggregator.bench:main", "Stock Faust, the batch driver and bare loops, side by side."
    ),
    Command("mapping", "services.collector.bench:main", "Responses to events: decode and map."),
    Command("new", "services.collector.bench_new:main", "What `providers new` proposes, beside finished definitions."),
    Command(
        "fusion", "services.aggregator.fusion.bench:main", "Accuracy and calibration of the fuser against baselines."
    ),
    Command(
        "signals", "services.aggregator.bench_signals:main", "Precision and recall of the detectors on seeded cases."
    ),
    Command(
        "gateway", "services.gateway.bench:main", "A hot GET and the WebSocket fan-out against plain ASGI and FastAPI."
    ),
    Command(
        "e2e", "services.gateway.bench_e2e:main", "From an exchange's WebSocket tick to a client's WebSocket frame."
    ),
)


def main(argv: list[str]) -> int:
    """Run one benchmark; 0 done, 1 failed, 2 wrong call."""
    if not argv or argv[0] in ("-h", "--help"):
        width = max(len(row.name) for row in BENCHES)
        print("Usage: parallax bench NAME [OPTIONS]\n")
        print("\n".join(f"  {row.name:<{width}}  {row.sentence}" for row in BENCHES))
        return EXIT_DONE if argv else EXIT_WRONG_CALL
    bench = next((row for row in BENCHES if row.name == argv[0]), None)
    if bench is None:
        sys.stderr.write(unknown("parallax bench", argv[0], [row.name for row in BENCHES]))
        return EXIT_WRONG_CALL
    return dispatch(bench, argv[1:])
