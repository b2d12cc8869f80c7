"""Data sets, the virtual camera, and their preparation."""
