# The page on processors alone, served by an account without rights.
#   docker build -t hdrgan .
#   docker run --rm -p 127.0.0.1:7860:7860 --read-only --tmpfs /tmp:size=4g hdrgan
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 hdrgan
WORKDIR /srv/hdrgan

# PyTorch's own builds for processors; the usual ones bring gigabytes for graphics cards along.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements.txt .
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" -r requirements.txt

COPY app.py LICENSE README.md ./
COPY hdrgan hdrgan
COPY examples examples
RUN python -m compileall -q app.py hdrgan

USER hdrgan
ENV GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 PYTHONUNBUFFERED=1
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
CMD ["python", "app.py"]
