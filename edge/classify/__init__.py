"""What the edge's own model says of a frame, and which model that is."""
