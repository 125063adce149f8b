"""Fixtures that every test may ask for."""

from tests.fixtures.broker import common, kafka, topic_prefix
from tests.fixtures.recordings import recordings
from tests.fixtures.valkey import valkey

__all__ = ["common", "kafka", "recordings", "topic_prefix", "valkey"]
