"""What of a camera's picture is ignored, watched in its own way, or private."""
