"""Finds movies in the source and decides when each is finished."""
