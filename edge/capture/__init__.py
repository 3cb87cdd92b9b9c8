"""Where frames come from: cameras of every kind, their readers, and the watch over what they see."""
