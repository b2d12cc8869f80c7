() => {
    const results = document.getElementById("results");
    if (results && results.getBoundingClientRect().top > window.innerHeight * 0.8) {
        const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
        results.scrollIntoView({ behavior: calm ? "auto" : "smooth" });
    }
}
