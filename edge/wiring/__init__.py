"""Builds the parts of a box from its settings, for `edge.service`."""
