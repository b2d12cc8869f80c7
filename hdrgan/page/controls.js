// Controls

$(".choose").addEventListener("click", () => $(".file").click());
$(".take").addEventListener("click", () => $(".camera").click());
$(".fresh").addEventListener("click", () => { clear(); state("empty"); $(".choose").focus(); });
for (const input of [$(".file"), $(".camera")]) {
    input.addEventListener("change", () => { taken(input.files); input.value = ""; });
}
$(".cancel").addEventListener("click", () => {
    call("stop", ticket);
    ticket = "";
    told.cancelled();
});
$(".again").addEventListener("click", again);
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
    taken(files(event));
});
document.addEventListener("paste", (event) => { const pasted = files(event); if (pasted.length) { event.preventDefault(); taken(pasted); } });
showOwn();
state("empty");
(function ready() {  // when the buttons behind it are there, too
    if (Object.keys(calls).every((what) => document.getElementById("do-" + what))) document.documentElement.dataset.hdrgan = "ready";
    else setTimeout(ready, 20);
})();
