"""The detector that runs, its successor, and the card below it."""
