"""The commands that ask a receiver.

`send`, `fetch` and `verify` move files, `session` is about sessions, `threshold` and `verdict` judge exposures.
"""
