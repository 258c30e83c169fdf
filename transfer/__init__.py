"""Moves files of any kind between two machines.

`transfer.wire` is the contract of all that is sent, with the records of exposures. Nothing here reads an image.
"""
