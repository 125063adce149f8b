"""Serves what the topics say: REST, WebSocket and a status page, from an in-memory view of every fused record."""
