"""When verdicts add up to a fire, where in the picture, and until when."""
