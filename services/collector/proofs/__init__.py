"""Commands that judge definitions."""
