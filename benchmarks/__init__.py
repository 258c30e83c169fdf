"""Measures alignment, transfer paths and the whole pipeline against peers on the user's own machine and link."""
