"""Verified artifacts, their sessions, and what they say."""
