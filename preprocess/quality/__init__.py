"""What a movie's pixels say about the micrograph beside motion and CTF: lit area, contrast."""
