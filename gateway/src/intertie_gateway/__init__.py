"""The HTTP edge: webhooks and pushes as raw bytes, every other annotated method transcoded."""
