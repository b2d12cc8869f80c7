"""Parts of a training run, independent of the loop: recipes, losses, checks before step 1, checkpoints, records."""
