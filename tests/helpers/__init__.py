"""Builders that tests arrange their worlds with."""
