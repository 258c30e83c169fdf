"""Gain references: which movies need one, and where it is."""
