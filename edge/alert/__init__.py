"""Who is told what of an event, and through what."""
