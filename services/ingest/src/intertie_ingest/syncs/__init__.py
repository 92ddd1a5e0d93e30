"""Syncs: runs that read a source into the cache, so that no row is lost or repeated."""
