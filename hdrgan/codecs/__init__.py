"""Beneath the floors: one file format, or one chore that formats share, per module; nothing here knows what is above.

`image_io` and `hdr_io` are the doors; every decoder here checks what a file claims before a library allocates for it.
"""
