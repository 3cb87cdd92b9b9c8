"""A fire that nobody lit: the yard of `sim:`, flames over any picture, and how they grow."""
