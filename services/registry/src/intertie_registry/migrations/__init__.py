"""The schema of the registry, revision by revision."""
