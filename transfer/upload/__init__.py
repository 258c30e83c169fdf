"""Sends files: whole, in parallel chunks, each verified and committed."""
