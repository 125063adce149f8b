"""Derived findings, pure: each names its evidence, inputs, ages, thresholds and a confidence, and none rests on one source."""

from services.aggregator.signals.board import Board

__all__ = ["Board"]
