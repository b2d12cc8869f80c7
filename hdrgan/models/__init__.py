"""The networks, one a file, and what loads, saves, converts and exports them."""
