"""Files, folders and locks on a disk.

Every call for files that exists only on POSIX systems is in this package, which can be imported everywhere;
`transfer.platform` has the others. Where a system lacks a call, a function uses a portable one instead, or raises
OSError with the reason. Nobody has run the replacements on Windows; tests run most of them on Linux.
"""
