"""The pure heart of the aggregator: raw records in log order -> fused records, candles, checkpoints. No I/O, no clock.

It decides when, holds the tables, and does what kernels refuse; the state and the loops over it are theirs (docs/engine.md).
"""

from services.aggregator.engine.model import Limits, Output
from services.aggregator.engine.partition import Partition
from services.aggregator.engine.rules import Rules

__all__ = ["Limits", "Output", "Partition", "Rules"]
