"""Health: judges the providers by what the collectors and the fuser saw of them, and raises and resolves alerts."""
