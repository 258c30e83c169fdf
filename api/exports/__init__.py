"""Exports of a session: files for programs and archives that do not follow it while it grows.

They are made from the database at one moment, when somebody asks and when the session has ended.
"""
