"""The service beside the cameras."""
