"""Sends files in parallel chunks, each of them verified, and has them committed."""
