"""Whether a frame goes to the cloud, and what that costs."""
