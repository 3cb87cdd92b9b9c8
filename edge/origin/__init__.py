"""When and where a fire began."""
