"""Everything the services agree on: events, topics, categories, metrics, assets. Imports nothing of ours."""
