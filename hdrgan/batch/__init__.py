"""Many photos: what each is to be called, who does it, and what was done already."""
