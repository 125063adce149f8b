"""Telling people: which message is due (outbox, pure), and how it is sent (channels)."""
