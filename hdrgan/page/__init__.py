"""What only the page needs; `app.py` is its door."""
