"""Turns a movie into a motion-corrected, dose-weighted micrograph with its figures and pictures."""
