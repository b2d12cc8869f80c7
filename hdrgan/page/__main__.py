"""``python -m hdrgan.page``: the page, wherever the package is installed."""

from hdrgan.page.main import main

if __name__ == "__main__":
    main()
