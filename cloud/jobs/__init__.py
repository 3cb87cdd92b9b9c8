"""Answers that come later, or twice."""
