"""Downloads committed files, and compares local files with those of a receiver."""
