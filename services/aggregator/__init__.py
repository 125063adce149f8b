"""The aggregator: raw events to fused records, candles and signals."""
