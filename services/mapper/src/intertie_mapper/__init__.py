"""Mapper: how data lands. It leases records from ingest and applies mappings to the modules' own tables."""
