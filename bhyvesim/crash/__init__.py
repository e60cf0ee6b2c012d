"""What a panic or a hang leaves behind."""
