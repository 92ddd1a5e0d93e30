"""External databases: which statements may run there, the connections to them, and reading their tables in pages."""
