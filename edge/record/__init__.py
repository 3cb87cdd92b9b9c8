"""The evidence: kept so that a change shows, handed out, and let go of in time."""
