"""How Faust and Kafka meet the engine: batches in, records out, partitions that come and go."""
