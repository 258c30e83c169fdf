"""Measures whether the costs of an exposure stay the same as a session grows."""
