"""Every provider of the registry, simulated on one loopback port from one hidden, seeded market."""
