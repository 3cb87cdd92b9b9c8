"""The cloud's console: pages for people."""
