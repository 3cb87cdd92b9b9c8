"""What a policy would have done with recordings, and with the box's own last day."""
