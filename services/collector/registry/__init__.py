"""The registry: what the folders of `services/collector/providers` say, in a strict shape."""
