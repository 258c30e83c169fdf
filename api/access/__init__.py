"""Access: tokens, and the requests that they permit."""
