"""The settings of the edge."""
