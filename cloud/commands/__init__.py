"""The command line of the cloud, one command a module."""
