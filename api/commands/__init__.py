"""The receiver's commands: `serve` and `token`, each in a file of its own."""
