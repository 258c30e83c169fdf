"""Moves files: the wire protocol, the chunk engine, digests. It knows bytes, never pixels."""
