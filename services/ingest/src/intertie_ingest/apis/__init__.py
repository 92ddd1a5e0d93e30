"""External APIs: calling them under the limits of a connection, and reading them page by page."""
