"""Finds movies in the source, and tells when each is finished."""
