"""Items and frames to bytes and back."""
