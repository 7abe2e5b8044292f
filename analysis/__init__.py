"""Results in, numbers and figures out."""
