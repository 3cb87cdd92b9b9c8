"""What must reach somebody: on disk first, and gone when it was delivered."""
