"""Every private name of Faust and aiokafka that the driver touches, as rows; a contract test holds each of them.

faust-streaming is pinned to one release because of this table: what is not in it must not be used.
"""

from __future__ import annotations

from typing import NamedTuple


class Name(NamedTuple):
    """A private name: where it lives, how it is called, what we use it for."""

    owner: str
    name: str
    parameters: tuple[str, ...] | None
    """Names of its parameters without self; None for an attribute."""
    used: str


FAUST = "0.15.3"

CONSUMER = "faust.transport.drivers.aiokafka:Consumer"
THREAD = "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread"
TRANSPORT = "faust.transport.drivers.aiokafka:Transport"
AIOKAFKA = "aiokafka:AIOKafkaConsumer"
FETCHER = "aiokafka.consumer.fetcher:Fetcher"
FETCHED = "aiokafka.consumer.fetcher:FetchResult"
UNPACKED = "aiokafka.consumer.fetcher:PartitionRecords"
BATCH = "aiokafka.producer.message_accumulator:BatchBuilder"

NAMES: tuple[Name, ...] = (
    Name(TRANSPORT, "Consumer", None, "the transport makes our consumer"),
    Name(CONSUMER, "_new_consumer_thread", (), "our thread, which chooses the assignor"),
    Name(CONSUMER, "_drain_messages", ("fetcher",), "the batch loop instead of the loop per record"),
    Name(CONSUMER, "_getmany", ("active_partitions", "timeout"), "one fetch"),
    Name(CONSUMER, "_get_active_partitions", (), "partitions that Faust has not paused"),
    Name(CONSUMER, "_seek", ("partition", "offset"), "what Faust seeks with, moved to the thread that fetches"),
    Name(CONSUMER, "perform_seek", (), "after a rebalance, go to where the state is, not to the commit"),
    Name(CONSUMER, "_new_offset", ("tp",), "the engine owns the offsets"),
    Name(CONSUMER, "_filter_tps_with_pending_acks", ("topics",), "all assigned partitions may commit"),
    Name(CONSUMER, "_acked", None, "cleared, since nothing else does when offsets are ours"),
    Name(CONSUMER, "_acked_index", None, "cleared with it"),
    Name(CONSUMER, "_read_offset", None, "kept in step with what was delivered"),
    Name(CONSUMER, "_committed_offset", None, "what was committed, to prove membership with"),
    Name(CONSUMER, "_thread", None, "commit through the consumer's own thread"),
    Name(CONSUMER, "maybe_wait_for_commit_to_finish", (), "a commit that runs would swallow ours"),
    Name(CONSUMER, "force_commit", ("topics", "start_new_transaction"), "commit now, inside a revocation"),
    Name(THREAD, "_create_worker_consumer", ("transport",), "set the range assignor before the consumer starts"),
    Name(
        THREAD,
        "_fetch_records",
        ("consumer", "active_partitions", "timeout", "max_records"),
        "unpack what was fetched at once, and set how long the next is held",
    ),
    Name(THREAD, "_ensure_consumer", (), "the aiokafka consumer of the thread"),
    Name(THREAD, "commit", ("offsets",), "prove membership"),
    Name(THREAD, "seek", ("partition", "offset"), "go back over a gap"),
    Name(THREAD, "call_thread", ("fun", "args", "kwargs"), "do it in the thread that fetches"),
    Name("mode.services:Service", "_stopped", None, "whether a service was told to stop"),
    Name(AIOKAFKA, "_coordinator", None, "its generation tells whether the group threw us out"),
    Name(AIOKAFKA, "_partition_assignment_strategy", None, "the assignor"),
    Name(AIOKAFKA, "_fetch_max_wait_ms", None, "how long a fetch may be held"),
    Name(AIOKAFKA, "_fetcher", None, "what sends the fetches"),
    Name(FETCHER, "_fetch_max_wait_ms", None, "how long the next fetch may be held"),
    Name(FETCHER, "_fetch_min_bytes", None, "how much ends the wait of the next fetch"),
    Name(AIOKAFKA, "_closed", None, "whether the consumer still answers"),
    Name(FETCHER, "_closed", None, "whether the fetcher still fetches"),
    Name(FETCHER, "_client", None, "what sends the fetches and hears the answers: ours is between"),
    Name(FETCHER, "_subscriptions", None, "which partitions are assigned, and whether that is changing"),
    Name(FETCHER, "_records", None, "what was fetched and not taken yet, by partition"),
    Name(FETCHER, "_create_fetch_waiter", (), "wait for the next fetch"),
    Name(FETCHER, "_notify", ("future",), "say that something was taken, so that the partition is fetched again"),
    Name(FETCHER, "_wait_consume_future", None, "whom to tell"),
    Name(FETCHED, "check_assignment", ("tp",), "whether the position is still the one that was fetched"),
    Name(FETCHED, "getall", ("max_records",), "records of a format that is not ours"),
    Name(FETCHED, "has_more", (), "whether something of a fetch is left"),
    Name(FETCHED, "_partition_records", None, "records and position of a fetch: ours take their place"),
    Name(FETCHED, "_update_position", (), "move the position of the partition behind what was taken"),
    Name(UNPACKED, "_records", None, "batches of a fetch, to check their sums"),
    Name(UNPACKED, "_check_crcs", None, "whether to"),
    Name(UNPACKED, "_isolation_level", None, "whether records of open transactions are left out"),
    Name(
        BATCH,
        "_set_producer_state",
        ("producer_id", "producer_epoch", "base_sequence"),
        "the numbers of a batch of ours",
    ),
    Name(BATCH, "_build", (), "the bytes of a batch of ours"),
    Name(BATCH, "_relative_offset", None, "how many records it has"),
)
