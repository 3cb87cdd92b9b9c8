"""What a box knows of itself: its state on disk, its troubles, its counts."""
