"""`parallax bench fusion`: worlds with a known truth, baselines, verdicts, and the page of figures."""

from services.aggregator.fusion.bench.command import main

__all__ = ["main"]
