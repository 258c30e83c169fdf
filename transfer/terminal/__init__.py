"""Writes to the terminal and to the log: nothing from outside can control either."""
