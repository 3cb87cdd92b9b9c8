"""The service with the detector."""
