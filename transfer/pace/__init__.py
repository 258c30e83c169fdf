"""How fast bytes are sent, over how many connections, and when a failed request is sent again."""
