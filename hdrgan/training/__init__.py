"""What a training is made of, whatever drives it: recipes, losses, checks before step 1, records."""
