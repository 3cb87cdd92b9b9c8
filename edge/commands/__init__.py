"""The command line of the edge, one command a module."""
