"""Bytes to photos and light, and back; every decoder checks what a file claims before a library allocates for it."""
