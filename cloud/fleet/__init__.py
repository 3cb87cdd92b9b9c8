"""The edges: who they are, how they are, and which fell silent."""
