"""How data comes in: accepts webhooks and pushes, keeps the cache, and hands its records to mapper."""
