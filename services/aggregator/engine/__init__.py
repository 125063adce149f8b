"""The pure heart of the aggregator: raw records in log order -> fused records, candles, checkpoints. No I/O, no clock."""

from services.aggregator.engine.model import Limits, Output
from services.aggregator.engine.partition import Partition
from services.aggregator.engine.rules import Rules

__all__ = ["Limits", "Output", "Partition", "Rules"]
