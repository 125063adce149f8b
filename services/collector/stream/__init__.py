"""Streams: supervised sockets, and the local order books that they feed."""
