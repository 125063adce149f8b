"""Fixtures that every test may ask for."""

import os

from hypothesis import HealthCheck, settings

from tests.fixtures.broker import common, kafka, topic_prefix
from tests.fixtures.recordings import recordings
from tests.fixtures.valkey import valkey

__all__ = ["common", "kafka", "recordings", "topic_prefix", "valkey"]

# A busy machine is not a failure; and a run of CI says the same when it is repeated.
settings.register_profile(
    "parallax",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("parallax")
