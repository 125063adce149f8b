"""The aggregator: raw events to fused records, candles and signals. README.md has the map."""
