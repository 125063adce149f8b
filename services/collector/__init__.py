"""Collector: polls and streams providers and writes what they said to `raw.<category>`."""
