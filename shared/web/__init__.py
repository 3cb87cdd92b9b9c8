"""What both services answer HTTP with."""
