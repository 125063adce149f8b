"""The four services (collector, aggregator, gateway, health), what they share (common), and the command line."""
