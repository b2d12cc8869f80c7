const N = NUMBERS;
const find = (id) => element.querySelector("#light-" + id);
const canvas = find("canvas"), ev = find("ev"), says = find("says"), map = find("map"), mark = find("invented");
const trouble = element.querySelector(".light-trouble");
const TOP = (N.brightest - N.darkest) * N.steps;  // the code of the brightest light
const LOW = 40 * N.steps;  // room below for what is darker than the darkest code
let light = null, asked = 0, drawing = 0;

const srgb = (x) => Math.round(255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055));

// The light of a code, and what it shows as, 8 bits of sRGB; white and what lies above it is 1 and 255.
const linear = new Float32Array(LOW + TOP + 40 * N.steps), encoded = new Uint8ClampedArray(linear.length);
for (let i = 0; i < encoded.length; i++) {
    linear[i] = Math.min(1, 2 ** ((i - LOW) / N.steps + N.darkest));
    encoded[i] = srgb(linear[i]);
}
// And what light from 0 to 1 shows as.
const FINE = 16383, even = Uint8ClampedArray.from({ length: FINE + 1 }, (_, i) => srgb(i / FINE));

async function unpack(answer) {
    const bytes = await answer.arrayBuffer();
    const [width, height] = new Uint16Array(bytes.slice(0, 4));
    const [softness, slope] = new Float32Array(bytes.slice(4, 12));
    const stream = new Blob([bytes.slice(12)]).stream().pipeThrough(new DecompressionStream("deflate"));
    const raw = new Uint8Array(await new Response(stream).arrayBuffer());
    const count = width * height;
    const planes = [0, 1, 2].map((channel) => {
        const high = raw.subarray(2 * channel * count), low = raw.subarray((2 * channel + 1) * count);
        const codes = new Uint16Array(count);
        for (let i = 0; i < count; i++) {
            codes[i] = ((high[i] << 8) | low[i]) + (i % width ? codes[i - 1] : 0);
        }
        return codes;
    });
    return { width, height, softness, slope, planes, invented: raw.subarray(6 * count, 7 * count) };
}

// For each code of the brightest channel: how far it is moved, in codes, by the exposure, less what tone mapping
// compresses; and how much of the way to white the colour goes, as it outshines the screen.
function curves({ softness, slope }, stops, mapped) {
    const moved = new Int32Array(TOP + 1), pale = new Float32Array(TOP + 1);
    for (let code = 0; code <= TOP; code++) {
        const x = 2 ** (code / N.steps + N.darkest + stops);
        const level = x <= N.knee ? x : Math.min(1, N.knee + slope * Math.log1p((x - N.knee) / softness));
        moved[code] = LOW + Math.round(N.steps * (stops + (mapped ? Math.log2(level / x) : 0)));
        pale[code] = mapped ? 1 - 1 / (1 + N.paling * Math.max(0, x - level)) : 0;
    }
    return { moved, pale };
}

function shown(picture, stops, mapped, marked) {
    const { width, height, planes: [red, green, blue], invented } = picture;
    const { moved, pale } = curves(picture, stops, mapped);
    const image = new ImageData(width, height), out = image.data;
    for (let i = 0, o = 0; i < red.length; i++, o += 4) {
        const r = red[i], g = green[i], b = blue[i];
        const most = r > g ? (r > b ? r : b) : g > b ? g : b, shift = moved[most], paling = pale[most];
        if (paling > 0.001) {
            const white = paling * linear[most + shift], rest = 1 - paling;
            out[o] = even[(FINE * (white + rest * (r && linear[r + shift])) + 0.5) | 0];
            out[o + 1] = even[(FINE * (white + rest * (g && linear[g + shift])) + 0.5) | 0];
            out[o + 2] = even[(FINE * (white + rest * (b && linear[b + shift])) + 0.5) | 0];
        } else {
            out[o] = r && encoded[r + shift];
            out[o + 1] = g && encoded[g + shift];
            out[o + 2] = b && encoded[b + shift];
        }
        out[o + 3] = 255;
        if (marked && invented[i] >= N.notable) {
            // Stripes, so that the mark is seen without telling colours apart.
            const keep = ((i % width) + ((i / width) | 0)) % 12 < 6 ? 0.25 : 0.6;
            out[o] = out[o] * keep + 255 * (1 - keep);
            out[o + 1] = out[o + 1] * keep;
            out[o + 2] = out[o + 2] * keep + 190 * (1 - keep);
        }
    }
    return image;
}

function draw() {
    const stops = Number(ev.value);
    const words = "EV " + (stops > 0 ? "+" : stops < 0 ? "\u2212" : "") + Math.abs(stops);
    says.textContent = words;
    ev.setAttribute("aria-valuetext", words);
    if (!light || drawing) return;
    drawing = requestAnimationFrame(() => {
        drawing = 0;
        if (canvas.width !== light.width || canvas.height !== light.height) {
            canvas.width = light.width;
            canvas.height = light.height;
        }
        canvas.getContext("2d").putImageData(shown(light, Number(ev.value), map.checked, mark.checked), 0, 0);
        const how = map.checked ? ", tone mapped" : ", clipped at white";
        const marked = mark.checked ? ", invented light striped" : "";
        canvas.setAttribute("aria-label", "The light of the photo at " + says.textContent + how + marked);
        canvas.dataset.drawn = [ev.value, map.checked, mark.checked].join(" ");
    });
}

async function load() {
    const url = window.hdrganLight, turn = ++asked;
    if (!url) return;
    delete canvas.dataset.drawn;
    try {
        const answer = await fetch(url);
        if (!answer.ok) throw new Error("the server answered " + answer.status);
        const picture = await unpack(answer);
        if (turn !== asked) return;  // a newer result is on its way
        light = picture;
        trouble.hidden = true;
        ev.value = 0;
        draw();
    } catch (problem) {
        trouble.textContent = "The light could not be shown (" + problem.message + "). Make the exposures again.";
        trouble.hidden = false;
    }
}

for (const control of [ev, map, mark]) control.addEventListener("input", draw);
find("reset").addEventListener("click", () => { ev.value = 0; draw(); ev.focus(); });
window.addEventListener("hdrgan-light", load);
load();
