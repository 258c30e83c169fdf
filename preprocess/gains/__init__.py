"""Gain references: which movies need one."""
