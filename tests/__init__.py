"""Unit, integration, end-to-end and chaos tests; fixtures are in tests/fixtures."""
