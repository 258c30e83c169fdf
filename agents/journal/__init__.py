"""What became of every exposure, durable; the one place where its state changes."""
