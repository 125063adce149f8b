"""Settings of the aggregator, from PARALLAX_* variables."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.events import Origin
from services.common.settings import CommonSettings

Driver = Literal["batch", "stock"]


class AggregatorSettings(CommonSettings, frozen=True, kw_only=True):
    """What an aggregator needs to know; the log decides everything else."""

    driver: Annotated[
        Driver,
        Meta(description="batch: one event per fetched batch; stock: Faust's own, one event per record, slower."),
    ] = "batch"
    group: Annotated[str, Meta(description="Consumer group of the aggregators of a deployment.")] = (
        "parallax-aggregator"
    )
    origins: Annotated[
        tuple[Origin, ...], Meta(description="Origins that are folded; a live deployment takes live only.")
    ] = ("live", "replay", "sandbox")
    emit_ms: Annotated[
        int, Meta(ge=0, description="A busy key is sent at most this often, in ms; a quiet one at once.")
    ] = 100
    checkpoint_s: Annotated[float, Meta(gt=0, description="Seconds between checkpoints of a partition.")] = 4.0
    checkpoint_keys: Annotated[
        int,
        Meta(ge=1, description="A partition with this many changed entities is checkpointed at once, to bound memory."),
    ] = 4000
    # At 5,000 events a second 10, 13 and 16 ms take .30, .28 and .24 of a core, and the p99 from tick to client is 130, 137 and
    # 146 ms of 150.
    linger_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=50,
            description="How long the broker gathers records before it answers a fetch, in ms, while some come.",
        ),
    ] = 13
    session_s: Annotated[
        float,
        Meta(ge=1, description="Seconds without a heartbeat after which the group gives the partitions to others."),
    ] = 10.0
    heartbeat_s: Annotated[float, Meta(gt=0, description="Seconds between heartbeats, a fraction of the session.")] = (
        2.0
    )
    expire_h: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Hours of silence after which an entity is forgotten; without it, as categories.yaml says."),
    ] = None
    max_poll_records: Annotated[int, Meta(ge=1, description="Largest batch that one fetch hands to an agent.")] = 2000


class SignalsSettings(CommonSettings, frozen=True, kw_only=True):
    """What the signals agent needs to know."""

    sentiment_model: Annotated[
        str, Meta(description="Folder of a transformer (model.onnx, vocab.txt, config.json); empty: the lexicon.")
    ] = ""
