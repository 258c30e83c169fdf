"""The receiver: sessions, uploads, durable commit, registration in a live Scipion project."""
