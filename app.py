"""The page: one photo in; five exposures and an HDR image out.

    python app.py

Every limit is a field of `hdrgan.page.settings.Settings`, whose environment variable and value in force are logged at
the start.
"""

from hdrgan.page.environment import start

if __name__ == "__main__":
    start()
