"""The pull process: queries and syncs, which never share an event loop with accepting."""
