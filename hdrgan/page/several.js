// Several photos at once: all of them are sent, and one archive comes back.

let sent = [];  // the files of this browser

async function several(files) {
    clear();
    const most = Number(root.dataset.most), mine = (ticket = newTicket());
    sent = files;
    state("working");
    if (files.length > most) return fail("Too many photos.", "Choose " + most + " at most.");
    const photos = [];
    try {
        for (const [number, file] of files.entries()) {
            sentNow(number);
            progress("Sending photo " + (number + 1) + " of " + files.length, number / files.length);
            photos.push({ path: await send(file), name: file.name || "photo" });
            if (mine !== ticket) return;
        }
    } catch (problem) {
        if (mine === ticket) fail("The photos could not be sent.", problem.message);
        return;
    }
    call("pack", JSON.stringify({ ticket, ...asked(), photos }));
}

function sentNow(number) {
    if (before.dataset.number === String(number)) return;
    before.dataset.number = number;
    showLocal(sent[number]);
}

function showPacked(news) {
    const failed = news.failed.map(({ name, says }) => name + ": " + says);
    ticket = "";
    if (!news.url) return fail("None of these photos can be used.", failed.join(" "));
    clear();
    packed = news;
    const link = $(".packed a");
    link.href = news.url;
    link.download = news.name;
    $(".packed strong").textContent = (news.count === 1 ? "One photo is" : news.count + " photos are") + " in " + news.name + ".";
    $(".packed span").textContent = failed.length ? "Not in it: " + failed.join(" ") : "";
    state("empty");
    link.click();
}
