(file) => {
    window.hdrganLight = file && file.url;
    window.dispatchEvent(new Event("hdrgan-light"));
}
