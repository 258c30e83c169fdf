"""The commands that move files: `send`, `fetch`, `verify`, `session`."""
