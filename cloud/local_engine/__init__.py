"""The engine of one process: places, decoders, and one thread that owns the session."""
