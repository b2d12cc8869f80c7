"""Data sets, the virtual camera, and what turns one into the other."""
