"""Committed files, read again in the background: verifications, the check of all files, their SHA-256."""
