"""Many photos: names of results, shards, and which photos are complete already."""
