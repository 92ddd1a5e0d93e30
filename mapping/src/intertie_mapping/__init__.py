"""The mapping language: what a JSON document becomes in a table, as pure functions."""
