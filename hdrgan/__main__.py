"""``python -m hdrgan``."""

from hdrgan.cli import main

if __name__ == "__main__":
    main()
