"""Finds how the content of a movie moves from frame to frame."""
