"""From what many said to one value and how sure we are: pure, no Kafka, no clock, no I/O. See docs/fusion.md."""

from services.aggregator.fusion.fuser import Fuser
from services.aggregator.fusion.model import Answer, Observation, Plain, Spec
from services.aggregator.fusion.numbers import Ask

__all__ = ["Answer", "Ask", "Fuser", "Observation", "Plain", "Spec"]
