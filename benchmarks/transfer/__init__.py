"""Transfer: the same files by every path."""
