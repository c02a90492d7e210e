"""What was earned."""
