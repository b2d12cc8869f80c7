// The page: it sends a photo as soon as there is one, and shows what the server tells of it. Gradio carries the calls:
// a hidden button is pressed for each, and what it answers arrives as JSON in a hidden element.
const root = element.querySelector(".hg");
const $ = (selector) => root.querySelector(selector);
const all = (selector) => [...root.querySelectorAll(selector)];
const calls = (window.hdrganCalls = { develop: [], pack: [], save: [], look: [], stop: [] });
const view = $(".view"), layers = $(".layers"), before = $(".before"), after = $(".after"), marks = $(".marks");
const divider = $(".divider");

let photo = null;    // {path, name}: what the server has
let result = null;   // what it told of it
let ticket = "";     // of the work that is waited for
let saving = "";     // ticket of the file that is waited for, and its button
let savingButton = null;
let chosen = "finished";
let original = null; // the file of the photo, where it came from this browser, and its address
let local = "";
let gone = false;    // whether the server has deleted the photo or its pictures
let silence = 0;     // timer of a server that says nothing
let packed = null;   // the archive of several photos that was made last
let divided = 0.5, zoom = 1, panX = 0, panY = 0;

const newTicket = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
const press = (what) => {
    const button = document.getElementById("do-" + what);
    if (button) button.click();
    else setTimeout(press, 20, what);  // the page's framework has not drawn it yet
};
const call = (what, argument) => {
    calls[what].push(argument);
    press(what);
    if (what !== "stop") awaitNews();
};

// The server tells something every second. Where it is gone, or takes no more calls, nothing would ever come.
const PATIENCE_MS = 60_000;
const awaitNews = () => {
    clearTimeout(silence);
    silence = setTimeout(() => {
        const says = "The server has said nothing for a minute. It may be busy, or gone; please try again.";
        if (root.dataset.state === "working") fail("No answer.", says);
        if (saving) saved(says);
    }, PATIENCE_MS);
};
const state = (name) => {
    root.dataset.state = name;
    const working = name === "working", failed = name === "failed", empty = name === "empty";
    $(".working").hidden = !working;
    $(".trouble").hidden = !failed;
    $(".drop").hidden = !empty && !(failed && !photo);
    view.hidden = empty || (failed && !photo);
    $(".packed").hidden = !(empty && packed);
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

function taken(files) {
    const photos = [...files];
    if (photos.length > 1) several(photos);
    else if (photos.length) take(photos[0]);
}

async function take(file) {
    clear();
    const mine = (ticket = newTicket());
    original = file;
    showLocal(file);
    state("working");
    progress("Sending the photo", null);
    try {
        const path = await send(file);
        if (mine !== ticket) return;
        photo = { path, name: file.name };
        run();
    } catch (problem) {
        if (mine === ticket) fail("The photo could not be sent.", problem.message);
    }
}

async function send(file) {
    const form = new FormData();
    form.append("files", file, file.name || "photo.png");
    const answer = await fetch(new URL("gradio_api/upload", document.baseURI), { method: "POST", body: form });
    if (!answer.ok) {
        const detail = await answer.json().then((said) => said.detail, () => "");
        throw new Error(detail || "The server answered " + answer.status + ".");
    }
    return (await answer.json())[0];
}

function showLocal(file) {
    if (local) URL.revokeObjectURL(local);
    local = URL.createObjectURL(file);
    showBefore(local);
}

function example(button) {
    clear();
    photo = { path: button.dataset.path, name: button.dataset.name };
    showBefore(button.querySelector("img").src);
    run();
    $(".stage").scrollIntoView({ block: "nearest" });
    view.focus({ preventScroll: true });  // the button is gone, and the next thing by Tab would be the footer
}

// The calibration of the visitor's own camera stays in this browser, and goes along with each photo.

const OWN = "hdrgan.calibration";

function asked() {
    const own = $(".response").value === "own" && localStorage.getItem(OWN);
    return {
        path: photo && photo.path, model: $(".model").value, evs: $(".evs").value.split(",").map(Number),
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

const again = () => (gone && original ? take(original) : run());

function clear() {
    if (ticket) call("stop", ticket);
    ticket = "";
    photo = result = packed = original = null;
    gone = false;
    chosen = "finished";
    $('input[value="finished"]').checked = true;
    root.classList.remove("stale");
    for (const part of [after, marks, divider, $(".tools"), $(".strip"), $(".below"), $(".numbers-box")]) part.hidden = true;
    after.removeAttribute("src");
    marks.removeAttribute("src");
    blur();
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
    $(".trouble strong").textContent = title || "That did not work.";
    $(".trouble span").textContent = says || "No reason was given. Please try again.";
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
        root.style.setProperty("--shape", news.width / news.height);
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
    failed(news) {
        gone = news.deleted;
        if (news.unreadable && !result) photo = null;  // another try would be no better: here is room for another photo
        fail(news.title && news.title + ".", news.says);
    },
    cancelled() {
        fail("Cancelled.", result ? "What is shown is from before." : "Nothing is being worked on.");
    },
    packing(news) { progress(news.says, news.share); sentNow(news.number); },
    packed(news) { showPacked(news); },
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
    failed(news) { saved(news.says); },
    cancelled() { saved(""); },
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
    if (news.ticket === ticket || news.ticket === saving) awaitNews();
    if (news.ticket === ticket && told[news.state]) told[news.state](news);
    if (news.ticket === saving && onFile[news.state]) onFile[news.state](news);
    if (news.ticket === partTicket && news.state === "look") sharpen(news);
}
for (const id of ["news", "file-news", "part-news"]) {
    const node = document.getElementById(id);
    new MutationObserver(() => listen(node)).observe(node, { childList: true, subtree: true, attributes: true });
}

const facts = ({ width, height, bits, light }) => {
    const size = width + " × " + height + " pixels" + (bits === 16 ? ", 16 bits" : "") + (light ? "; " + light : "");
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
