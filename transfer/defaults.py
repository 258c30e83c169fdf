"""Defaults that commands show and the engine uses. The module imports nothing, so that `--help` stays quick."""

GIVE_UP_AFTER_S = 60.0
"""How long a request with a temporary error is retried, in s."""

MOST_CONNECTIONS = 64
"""How many connections to one receiver may be used at most."""

DOWNLOAD_CONNECTIONS = 8
"""How many chunks are downloaded at once."""
