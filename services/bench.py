"""`parallax bench NAME`: rows of side-by-side benchmarks; each writes bench/results/NAME.json and prints it."""

from __future__ import annotations

import sys

from services.cli import EXIT_DONE, EXIT_WRONG_CALL, Command, dispatch, unknown

BENCHMARKS: tuple[Command, ...] = (
    Command(
        "aggregator", "services.aggregator.bench:main", "Stock Faust, our driver, and bare consumers, on one broker."
    ),
    Command("mapping", "services.collector.bench:main", "Compiled mappings against hand-written code, per provider."),
    Command(
        "fusion", "services.aggregator.fusion.bench:main", "The fuser against plain rules, in accuracy and in time."
    ),
    Command("gateway", "services.gateway.bench:main", "A hot GET and the fan-out against plain ASGI and FastAPI."),
    Command(
        "e2e",
        "services.gateway.bench_e2e:main",
        "From an exchange's tick to a client's frame, and where the time goes.",
    ),
)


def main(argv: list[str]) -> int:
    """Run one benchmark with the remaining arguments; without a name, list them."""
    if not argv or argv[0] in ("-h", "--help"):
        width = max(len(row.name) for row in BENCHMARKS)
        rows = "\n".join(f"  {row.name:<{width}}  {row.sentence}" for row in BENCHMARKS)
        print(f"Usage: parallax bench NAME [OPTIONS]\n\n{rows}")
        return EXIT_DONE if argv else EXIT_WRONG_CALL
    row = next((row for row in BENCHMARKS if row.name == argv[0]), None)
    if row is None:
        sys.stderr.write(unknown("parallax bench", argv[0], [row.name for row in BENCHMARKS]))
        return EXIT_WRONG_CALL
    return dispatch(row, argv[1:])
