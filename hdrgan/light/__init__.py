"""Numbers only: radiance, exposures, tone curves, tiles; imports nothing of the other folders."""
