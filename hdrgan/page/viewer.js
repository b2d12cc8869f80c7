// Slider, zoom and pan

const sizes = () => {
    const box = view.getBoundingClientRect();
    const shape = before.naturalWidth && before.naturalHeight ? before.naturalWidth / before.naturalHeight : 1.5;
    const width = Math.min(box.width, box.height * shape);
    return { box, width, height: width / shape };
};

// Zoom at which one pixel of the photo is one of the screen.
const whole = () => Math.max(1, (result ? result.full[0] : before.naturalWidth) / sizes().width / devicePixelRatio);

function place() {
    const { box, width, height } = sizes();
    const [most, deep] = [Math.max(0, (width * zoom - box.width) / 2), Math.max(0, (height * zoom - box.height) / 2)];
    panX = Math.min(most, Math.max(-most, panX));
    panY = Math.min(deep, Math.max(-deep, panY));
    layers.style.width = width + "px";
    layers.style.height = height + "px";
    layers.style.transform = `translate(-50%, -50%) translate(${panX}px, ${panY}px) scale(${zoom})`;
    const left = box.width / 2 + panX - (width * zoom) / 2;
    const at = Math.max(left, 0) + divided * (Math.min(left + width * zoom, box.width) - Math.max(left, 0));
    const cut = Math.max(0, (at - left) / zoom);
    after.style.clipPath = marks.style.clipPath = `inset(0 0 0 ${cut}px)`;
    divider.style.left = at + "px";
    divider.setAttribute("aria-valuenow", String(Math.round(100 * divided)));
    divider.setAttribute("aria-valuetext", Math.round(100 * divided) + " % photo");
    $(".tag.left").hidden = !result || at < 90;
    $(".tag.right").hidden = !result || box.width - at < 110;
    const scale = zoom === 1 ? "Fit" : Math.round((100 * zoom) / whole()) + " %";
    if ($(".scale").textContent !== scale) $(".scale").textContent = scale;  // it is read out when it changes
    $(".smaller").disabled = zoom === 1;
    $(".larger").disabled = zoom >= most100();
    view.classList.toggle("zoomed", zoom > 1);
    view.setAttribute("aria-label", !result ? "Picture" : zoom === 1 ? "Picture: the keys + and \u2212 zoom"
        : `Picture at ${scale}: arrow keys pan, + and \u2212 zoom, 0 shows all of it`);
    look({ left, top: box.height / 2 + panY - (height * zoom) / 2, width: width * zoom, height: height * zoom, box, cut });
}
const most100 = () => Math.max(2, 2 * whole());

function scaleTo(next, x, y) {
    const { box } = sizes();
    next = Math.min(most100(), Math.max(1, next));
    const [dx, dy] = x == null ? [0, 0] : [x - box.left - box.width / 2, y - box.top - box.height / 2];
    panX = dx - ((dx - panX) * next) / zoom;
    panY = dy - ((dy - panY) * next) / zoom;
    zoom = next;
    place();
}
function fit() { zoom = 1; panX = panY = 0; divided = 0.5; place(); }
const divideAt = (x) => {
    const { box, width } = sizes(), span = Math.min(box.width, width * zoom);
    divided = Math.min(1, Math.max(0, (x - box.left - (box.width - span) / 2) / span));
    place();
};

// Closer than the preview can show, the part of the photo that is seen is asked for at its own pixels.

const sharpBefore = $(".sharp.photo"), sharpAfter = $(".sharp.result");
let part = null;      // {ticket, of, box}: what is shown so; its box in pixels of the photo
let partTicket = "";  // of the part that is waited for
let waited = null;    // the same of that
let partTimer = 0;

function look({ left, top, width, height, box, cut }) {
    clearTimeout(partTimer);
    if (!result || !result.done || result.full[0] <= result.width || width * devicePixelRatio < 1.05 * result.width) return blur();
    const scale = result.full[0] / width;
    const seen = [-left, -top, box.width - left, box.height - top].map((edge) => edge * scale);
    const within = (margin) => seen.map((edge, k) => {
        const most = result.full[k % 2], further = edge + (k < 2 ? -1 : 1) * margin * scale * (k % 2 ? box.height : box.width);
        return Math.min(most, Math.max(0, k < 2 ? Math.floor(further) : Math.ceil(further)));
    });
    if (part) sharpAfter.style.clipPath = `inset(0 0 0 ${Math.max(0, cut - (part.box[0] / scale) / zoom)}px)`;
    if (part && part.of !== chosen) sharpAfter.hidden = true;
    const now = within(0);
    if (part && part.of === chosen && now.every((edge, k) => (k < 2 ? edge >= part.box[k] : edge <= part.box[k]))) return;
    partTimer = setTimeout(() => {
        const asks = { of: chosen, box: within(0.3) };
        if (partTicket) call("stop", partTicket);
        partTicket = newTicket();
        waited = { ticket: partTicket, ...asks };
        call("look", JSON.stringify({ ticket: partTicket, ...asked(), view: chosen, box: asks.box }));
    }, 150);
}
function sharpen(news) {
    const [left, top, right, bottom] = waited.box, [width, height] = result.full;
    for (const [image, address] of [[sharpBefore, news.photo], [sharpAfter, news.result]]) {
        image.src = address;
        image.style.left = (100 * left) / width + "%";
        image.style.top = (100 * top) / height + "%";
        image.style.width = (100 * (right - left)) / width + "%";
        image.style.height = (100 * (bottom - top)) / height + "%";
        image.hidden = false;
    }
    part = waited;
    partTicket = "";
    place();
}

function blur() {
    clearTimeout(partTimer);
    if (partTicket) call("stop", partTicket);
    partTicket = "";
    part = null;
    for (const image of [sharpBefore, sharpAfter]) {
        image.hidden = true;
        image.removeAttribute("src");
    }
}

const fingers = new Map();
let moving = "", undivided = 0.5;  // where the divider was before a finger came, which may be the first of a pinch
view.addEventListener("pointerdown", (event) => {
    if (event.button || !result) return;
    fingers.set(event.pointerId, event);
    view.setPointerCapture(event.pointerId);
    moving = fingers.size > 1 ? "pinch" : event.target.closest(".divider") || zoom === 1 ? "divide" : "pan";
    if (moving === "pinch") divided = undivided;
    undivided = divided;
    if (moving === "divide") divideAt(event.clientX);
});
view.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return;
    if (moving === "divide") divideAt(event.clientX);
    if (moving === "pan") { panX += event.clientX - last.clientX; panY += event.clientY - last.clientY; place(); }
    if (moving === "pinch" && fingers.size === 2) {
        const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
        const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
        scaleTo((zoom * apart(event)) / Math.max(1, apart(last)), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
    }
    fingers.set(event.pointerId, event);
});
for (const name of ["pointerup", "pointercancel"]) view.addEventListener(name, (event) => fingers.delete(event.pointerId));
view.addEventListener("dblclick", (event) => (zoom > 1 ? fit() : scaleTo(whole(), event.clientX, event.clientY)));
view.addEventListener("wheel", (event) => {
    if (!result || !(event.ctrlKey || zoom > 1 || document.fullscreenElement)) return;  // the page itself scrolls
    event.preventDefault();
    scaleTo(zoom * Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
}, { passive: false });
divider.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.05, ArrowRight: 0.05, PageDown: -0.2, PageUp: 0.2, Home: -1, End: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    divided = Math.min(1, Math.max(0, divided + step));
    place();
});
view.addEventListener("keydown", (event) => {
    if (!result || event.ctrlKey || event.metaKey || event.altKey) return;  // those are the browser's own
    const way = event.target === view && zoom > 1 && { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    const scales = { "+": larger, "=": larger, "-": smaller, 0: unzoom }[event.key];
    if (!way && !scales) return;
    event.preventDefault();
    if (scales) return scales();
    panX += (way[0] * view.clientWidth) / 8;
    panY += (way[1] * view.clientHeight) / 8;
    place();
});
const larger = () => scaleTo(zoom < whole() && zoom * 1.5 > whole() ? whole() : zoom * 1.5);
const smaller = () => scaleTo(zoom / 1.5);
const unzoom = () => scaleTo(1);
$(".larger").addEventListener("click", larger);
$(".smaller").addEventListener("click", smaller);
$(".scale").addEventListener("click", fit);
$(".full").addEventListener("click", () => {
    if (document.fullscreenElement || root.classList.contains("filling")) return leave();
    if ($(".hg .stage") && root.requestFullscreen) root.requestFullscreen().catch(() => filling(true));
    else filling(true);  // phones that let no element fill the screen
});
const filling = (on) => { root.classList.toggle("filling", on); $(".full").textContent = on ? "Leave full screen" : "Full screen"; place(); };
const leave = () => (document.fullscreenElement ? document.exitFullscreen() : filling(false));
document.addEventListener("fullscreenchange", () => filling(document.fullscreenElement === root));
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && root.classList.contains("filling")) leave(); });
before.addEventListener("load", place);
after.addEventListener("error", () => {
    if (!result || !after.getAttribute("src")) return;
    gone = true;
    fail("These pictures are gone.", "The server deletes photos after a while. Try again to have them made once more.");
});
before.addEventListener("error", () => { if (before.src === local) before.removeAttribute("src"); });
new ResizeObserver(place).observe(view);
