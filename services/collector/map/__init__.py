"""Mapping: a definition's rows, entities and fields compiled once to closures; payload in, raw events out. Pure."""
