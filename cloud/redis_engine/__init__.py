"""The same over many machines: front ends without a model, workers anywhere, a Redis between them."""
