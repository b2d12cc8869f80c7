"""What programs show of the codec library's own messages."""

import logging


def silence_codecs() -> None:
    """Keep the codec library from logging every oddity of a file; a refusal says all that matters."""
    logging.getLogger("imagecodecs").setLevel(logging.ERROR)
