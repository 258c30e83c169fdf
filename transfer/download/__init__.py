"""Fetches committed files, and compares files with the receiver's."""
