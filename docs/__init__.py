"""The product's documentation; `generate` writes what comes from the code."""
