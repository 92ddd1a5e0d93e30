"""Audit: what happened, in an append-only log."""
