"""Bytes to pixels under limits, and what is drawn on them."""
