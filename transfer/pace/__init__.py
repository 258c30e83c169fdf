"""How fast, over how many connections, and when again: limits, steering, retries."""
