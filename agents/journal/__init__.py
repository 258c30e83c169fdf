"""Keeps durably what became of every exposure; the one place where a state changes."""
