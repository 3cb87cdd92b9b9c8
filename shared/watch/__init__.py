"""Silent threads and other troubles: seen, kept over restarts, and told."""
