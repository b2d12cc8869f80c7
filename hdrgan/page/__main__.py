"""``python -m hdrgan.page``: the page, wherever the package is installed."""

from hdrgan.page.environment import start

if __name__ == "__main__":
    start()
