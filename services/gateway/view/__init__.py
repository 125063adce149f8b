"""The gateway's memory: topics in, rendered bytes out. Pure: no Kafka, no HTTP, no clock; time is an argument."""
