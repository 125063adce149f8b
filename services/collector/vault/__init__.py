"""Credentials: where they come from, and how their values are kept out of everything that leaves the process."""
