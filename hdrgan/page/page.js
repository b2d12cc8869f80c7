// The page: it sends a photo as soon as there is one, and shows what the server tells of it. Gradio carries the calls:
// a hidden button is pressed for each, and what it answers arrives as JSON in a hidden element.
const root = element.querySelector(".hg");
const $ = (selector) => root.querySelector(selector);
const all = (selector) => [...root.querySelectorAll(selector)];
const calls = (window.hdrganCalls = { develop: [], save: [], stop: [] });
const view = $(".view"), layers = $(".layers"), before = $(".before"), after = $(".after"), marks = $(".marks");
const divider = $(".divider");

let photo = null;    // {path, name}: what the server has
let result = null;   // what it told of it
let ticket = "";     // of the work that is waited for
let saving = "";     // ticket of the file that is waited for, and its button
let savingButton = null;
let chosen = "finished";
let local = "";      // address of the photo in this browser
let divided = 0.5, zoom = 1, panX = 0, panY = 0;

const newTicket = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
const call = (what, argument) => {
    calls[what].push(argument);
    document.getElementById("do-" + what).click();
};
const state = (name) => {
    root.dataset.state = name;
    const working = name === "working", failed = name === "failed", empty = name === "empty";
    $(".working").hidden = !working;
    $(".trouble").hidden = !failed;
    $(".drop").hidden = !empty && !(failed && !photo);
    view.hidden = empty || (failed && !photo);
    $(".examples").hidden = !(empty || failed);
    enable();
};
const enable = () => {
    const ready = Boolean(result && result.done) && root.dataset.state === "ready";
    all(".saves button, .saves select").forEach((control) => (control.disabled = !ready || Boolean(saving)));
    const frame = $('[data-kind="frame"]');
    if (frame) {
        frame.disabled ||= !chosen.startsWith("ev");
        frame.textContent = chosen.startsWith("ev") ? "Save EV " + signed(Number(chosen.slice(2))) : "Choose one above";
    }
};
const signed = (ev) => (ev > 0 ? "+" : ev < 0 ? "\u2212" : "") + Math.abs(ev);

// A photo comes in: chosen, taken, dropped, pasted, or an example.

async function take(file) {
    if (!file) return;
    clear();
    const mine = (ticket = newTicket());
    if (local) URL.revokeObjectURL(local);
    local = URL.createObjectURL(file);
    showBefore(local);
    state("working");
    progress("Sending the photo", null);
    try {
        const form = new FormData();
        form.append("files", file, file.name || "photo.png");
        const answer = await fetch(new URL("gradio_api/upload", document.baseURI), { method: "POST", body: form });
        if (!answer.ok) {
            const detail = await answer.json().then((said) => said.detail, () => "");
            throw new Error(detail || "The server answered " + answer.status + ".");
        }
        const [path] = await answer.json();
        if (mine !== ticket) return;
        photo = { path, name: file.name };
        run();
    } catch (problem) {
        if (mine === ticket) fail("The photo could not be sent.", problem.message);
    }
}

function example(button) {
    clear();
    photo = { path: button.dataset.path, name: button.dataset.name };
    showBefore(button.querySelector("img").src);
    run();
    $(".stage").scrollIntoView({ block: "nearest" });
}

// The calibration of the visitor's own camera stays in this browser, and goes along with each photo.

const OWN = "hdrgan.calibration";

function asked() {
    const own = $(".response").value === "own" && localStorage.getItem(OWN);
    return {
        path: photo.path, model: $(".model").value, evs: $(".evs").value.split(",").map(Number),
        ...(own ? { response: "auto", calibration: own } : { response: $(".response").value.replace("own", "auto") }),
    };
}

function tellOwn(says) {
    $(".own span").textContent = says;
    $(".own").hidden = $(".response").value !== "own" && !says;
}

function showOwn() {
    const kept = JSON.parse(localStorage.getItem(OWN) || "null");
    $('.response option[value="own"]').textContent = kept
        ? "a photo from my " + ([kept.make, kept.model, kept.style].filter(Boolean).join(" ") || "own camera")
        : "a photo from my own camera…";
}

async function takeOwn(file) {
    if (!file) return;
    try {
        const read = JSON.parse(await file.text());
        if (!Array.isArray(read.response)) throw new Error();
        localStorage.setItem(OWN, JSON.stringify(read));
    } catch (problem) {
        tellOwn("That file is no camera calibration; hdrgan calibrate makes one from a bracket.");
        return;
    }
    showOwn();
    $(".response").value = "own";
    tellOwn("Kept in this browser.");
    run();
}

function run() {
    if (!photo) return;
    if (ticket) call("stop", ticket);
    ticket = newTicket();
    root.classList.toggle("stale", Boolean(result));
    if (result) result.done = false;
    state("working");
    progress("Sending the photo", null);
    call("develop", JSON.stringify({ ticket, ...asked() }));
}

function clear() {
    if (ticket) call("stop", ticket);
    ticket = "";
    photo = result = null;
    chosen = "finished";
    $('input[value="finished"]').checked = true;
    root.classList.remove("stale");
    for (const part of [after, marks, divider, $(".tools"), $(".strip"), $(".below"), $(".numbers-box")]) part.hidden = true;
    after.removeAttribute("src");
    marks.removeAttribute("src");
    $(".strip").replaceChildren();
    $(".numbers-here").replaceChildren();
    $(".tag.right").textContent = "";
    fit();
}

function showBefore(address) {
    before.src = address;
    view.hidden = false;
}

// What the server tells.

const progress = (says, share) => {
    $(".says").textContent = says;
    $(".bar").classList.toggle("unknown", share == null);
    $(".bar i").style.width = share == null ? "" : Math.round(100 * share) + "%";
};

function fail(title, says) {
    $(".trouble strong").textContent = title;
    $(".trouble span").textContent = says;
    $(".again").hidden = !photo;
    state("failed");
}

const told = {
    working(news) {
        progress(news.says, news.share);
        if (news.photo) facts(news.photo);
    },
    first(news) {
        result = { ...news, frames: [], done: false };  // of this ticket
        root.classList.remove("stale");
        before.src = news.photo;
        layers.style.setProperty("--shape", news.width / news.height);
        for (const part of [$(".tools"), $(".below"), divider, after]) part.hidden = false;
        $(".strip").hidden = false;
        if (chosen !== "finished") chosen = "finished";
        $('input[value="finished"]').checked = true;
        show();
    },
    frames(news) {
        if (!result || result.ticket !== news.ticket) told.first(news);
        result.frames = news.frames;
        $(".strip").replaceChildren(...news.frames.map(card));
        show();
    },
    done(news) {
        if (!result || result.ticket !== news.ticket || !result.frames.length) told.frames(news);
        Object.assign(result, news, { done: true });
        $(".numbers-here").innerHTML = news.numbers;
        $(".numbers-box").hidden = false;
        state("ready");
        show();
    },
    failed(news) { fail(news.title + ".", news.says); },
    cancelled() { fail("Cancelled.", "Nothing is being worked on."); },
};

const onFile = {
    saving() {},
    file(news) {
        const link = document.createElement("a");
        link.href = news.url;
        link.download = news.name;
        link.click();
        saved("Saved " + news.name);
    },
    unsaved(news) { saved(news.says); },
};

function saved(says) {
    if (savingButton) savingButton.classList.remove("busy");
    saving = "";
    $(".saves h2").dataset.says = says;
    $(".note").textContent = says;
    enable();
}

function listen(node) {
    const carrier = node.querySelector("[data-news]");
    if (!carrier) return;
    const news = JSON.parse(carrier.dataset.news);
    if (news.ticket === ticket && told[news.state]) told[news.state](news);
    if (news.ticket === saving && onFile[news.state]) onFile[news.state](news);
}
for (const id of ["news", "file-news"]) {
    const node = document.getElementById(id);
    new MutationObserver(() => listen(node)).observe(node, { childList: true, subtree: true, attributes: true });
}

const facts = ({ width, height, bits }) => {
    const size = width + " × " + height + " pixels" + (bits === 16 ? ", 16 bits" : "");
    $(".facts").textContent = photo.name ? photo.name + ": " + size : size;
};

// Views

function card(frame) {
    const item = document.createElement("li"), button = document.createElement("button");
    const image = document.createElement("img"), text = document.createElement("span");
    button.type = "button";
    button.dataset.ev = frame.ev;
    image.src = frame.url;
    image.alt = "";
    const [ev, means] = frame.says.split(" · "), name = document.createElement("strong"), small = document.createElement("small");
    name.textContent = ev;
    small.textContent = " " + (means || "");
    text.append(name, small);
    button.append(image, text);
    button.addEventListener("click", () => choose("ev" + frame.ev));
    item.append(button);
    return item;
}

function choose(what) {
    chosen = what;
    for (const radio of all(".views input")) radio.checked = radio.value === what;
    show();
    enable();
}

function show() {
    if (!result) return;
    const frame = chosen.startsWith("ev") && result.frames.find((one) => "ev" + one.ev === chosen);
    const marked = chosen === "marks";
    const address = frame ? frame.url : chosen === "hdr" ? result.hdr || result.photo : marked ? result.photo : result.finished;
    const name = frame ? "EV " + signed(frame.ev) : { finished: "Finished", hdr: "HDR", marks: "Invented" }[chosen];
    if (after.getAttribute("src") !== address) after.src = address;
    after.alt = name + (frame ? ", " + frame.says : "");
    marks.hidden = !marked || !result.marks;
    if (result.marks && marks.getAttribute("src") !== result.marks) marks.src = result.marks;
    $(".tag.right").textContent = name;
    for (const button of all(".strip button")) button.setAttribute("aria-pressed", String("ev" + button.dataset.ev === chosen));
    all(".views input").forEach((radio) => (radio.disabled = radio.value !== "finished" && !result.done));
    const bright = matchMedia("(dynamic-range: high)").matches;
    $(".note").textContent = frame ? frame.says.replace(" · ", ": ")
        : chosen === "hdr" ? (!result.hdr ? "Too small for an HDR preview." : bright ? "This screen shows HDR: the lights are brighter than white."
            : "This screen can\u2019t show brighter than white. On an HDR screen the lights shine.")
        : marked ? "Striped: light that the network made up."
        : result.done ? result.summary : "";
    place();
}

// Slider, zoom and pan

const sizes = () => {
    const box = view.getBoundingClientRect();
    const shape = before.naturalWidth && before.naturalHeight ? before.naturalWidth / before.naturalHeight : 1.5;
    const width = Math.min(box.width, box.height * shape);
    return { box, width, height: width / shape };
};

// Zoom at which one pixel of the preview is one of the screen.
const whole = () => Math.max(1, before.naturalWidth / sizes().width / devicePixelRatio);

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
    $(".scale").textContent = zoom === 1 ? "Fit" : Math.round((100 * zoom) / whole()) + " %";
    $(".smaller").disabled = zoom === 1;
    $(".larger").disabled = zoom >= most100();
    view.classList.toggle("zoomed", zoom > 1);
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

const fingers = new Map();
let moving = "";
view.addEventListener("pointerdown", (event) => {
    if (event.button || !result) return;
    fingers.set(event.pointerId, event);
    view.setPointerCapture(event.pointerId);
    moving = fingers.size > 1 ? "pinch" : event.target.closest(".divider") || zoom === 1 ? "divide" : "pan";
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
$(".larger").addEventListener("click", () => scaleTo(zoom < whole() && zoom * 1.5 > whole() ? whole() : zoom * 1.5));
$(".smaller").addEventListener("click", () => scaleTo(zoom / 1.5));
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
before.addEventListener("error", () => { if (before.src === local) before.removeAttribute("src"); });
new ResizeObserver(place).observe(view);

// Controls

$(".choose").addEventListener("click", () => $(".file").click());
$(".take").addEventListener("click", () => $(".camera").click());
$(".fresh").addEventListener("click", () => { clear(); state("empty"); $(".choose").focus(); });
for (const input of [$(".file"), $(".camera")]) {
    input.addEventListener("change", () => { take(input.files[0]); input.value = ""; });
}
$(".cancel").addEventListener("click", () => {
    call("stop", ticket);
    ticket = "";
    told.cancelled();
});
$(".again").addEventListener("click", run);
all(".examples button").forEach((button) => button.addEventListener("click", () => example(button)));
all(".settings select").forEach((select) => select.addEventListener("change", () => {
    const own = $(".response").value === "own";
    tellOwn(own ? "Made by hdrgan calibrate from a bracket of yours." : "");
    if (!own || localStorage.getItem(OWN)) run();
}));
$(".another").addEventListener("click", () => $(".calibration").click());
$(".calibration").addEventListener("change", (event) => { takeOwn(event.target.files[0]); event.target.value = ""; });
all(".views input").forEach((radio) => radio.addEventListener("change", () => choose(radio.value)));
all(".saves button").forEach((button) => button.addEventListener("click", () => {
    saving = newTicket();
    savingButton = button;
    button.classList.add("busy");
    $(".note").textContent = "Writing the file";
    enable();
    call("save", JSON.stringify({
        ticket: saving, ...asked(), kind: button.dataset.kind,
        format: $(".format").value, ev: chosen.startsWith("ev") ? Number(chosen.slice(2)) : null,
    }));
}));
let inside = 0;
const files = (event) => [...(event.dataTransfer ? event.dataTransfer.files : event.clipboardData.files)];
document.addEventListener("dragenter", () => { inside++; root.classList.add("over"); });
document.addEventListener("dragleave", () => { if (!--inside) root.classList.remove("over"); });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    root.classList.remove("over");
    take(files(event)[0]);
});
document.addEventListener("paste", (event) => { const [file] = files(event); if (file) { event.preventDefault(); take(file); } });
showOwn();
state("empty");
document.documentElement.dataset.hdrgan = "ready";
