// The page of a reader study: fetch the current trial, let the reader rank its images, send the ranks, and so on.

const at = (id) => document.getElementById(id);
const parts = ["entry", "trial", "end"];
const images = at("images");
const SMALLEST = 280; // pixels that an image has across, where there is room, even if one must scroll
let token = location.hash.slice(1) || sessionStorage.getItem("token");
let cards = []; // {name, token, field, radios} of each reconstruction, in the order of the screen
let shownAt = 0;
let busy = false;
history.replaceState(null, "", location.pathname); // the token stays out of the address bar and of screenshots

// The server

class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(path, body) {
  const headers = { authorization: `Bearer ${token}` };
  const reply = await fetch(path, body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers });
  if (!reply.ok) throw new Refusal(reply.status, (await reply.json()).error);
  return reply;
}

async function picture(name) {
  const image = new Image();
  image.src = URL.createObjectURL(await (await ask(`image/${name}`)).blob());
  await image.decode();
  return image;
}

async function attempt(work) {
  if (busy) return;
  busy = true;
  document.body.classList.add("busy");
  try {
    await work();
  } catch (error) {
    if (error.status === 401) return begin(error.message);
    say(error instanceof Refusal ? `Not done: ${error.message}.` : "The server does not answer. Try again.", true);
  } finally {
    busy = false;
    document.body.classList.remove("busy");
  }
}

// What is on the screen

function say(text, alarm = false) {
  at("status").textContent = text;
  at("status").classList.toggle("alarm", alarm);
}

function show(part) {
  for (const one of parts) at(one).hidden = one !== part;
}

function begin(text) {
  show("entry");
  at("progress").hidden = true;
  at("question").textContent = "Reader study";
  say(text, Boolean(text));
  at("token").focus();
}

async function display(trial) {
  const names = trial.reference ? [trial.reference, ...trial.images] : trial.images;
  const loaded = await Promise.all(names.map(picture));
  const done = trial.images.length === 0;
  for (const old of images.querySelectorAll("img")) URL.revokeObjectURL(old.src);
  at("question").textContent = done ? "Reader study" : trial.question;
  at("count").textContent = done ? `${trial.total} of ${trial.total} saved` : `Image ${trial.number} of ${trial.total}`;
  at("bar").max = trial.total;
  at("bar").value = done ? trial.total : trial.number - 1;
  at("progress").hidden = false;
  show(done ? "end" : "trial");
  if (done) {
    say("");
    at("end").querySelector("h2").focus();
    return;
  }
  const shown = trial.reference ? [reference(loaded.shift())] : [];
  cards = trial.images.map((name, place) => card(String.fromCharCode(65 + place), name, loaded[place], loaded.length));
  images.replaceChildren(...shown, ...cards.map((one) => one.field));
  at("worst").textContent = cards.length;
  zoomTo(1, 0, 0);
  fit();
  focusOn(cards[0]);
  say(`Image ${trial.number} of ${trial.total}`);
  requestAnimationFrame(() => (shownAt = performance.now()));
}

function reference(image) {
  const figure = at("reference-card").content.cloneNode(true).firstElementChild;
  image.alt = "Reference";
  figure.querySelector("img").replaceWith(image);
  return figure;
}

function card(name, imageToken, image, count) {
  const field = at("card").content.cloneNode(true).firstElementChild;
  field.querySelector("legend").textContent = name;
  image.alt = `Image ${name}`;
  field.querySelector("img").replaceWith(image);
  const radios = [];
  for (let rank = 1; rank <= count; rank++) {
    const radio = Object.assign(document.createElement("input"), { type: "radio", name, value: rank });
    const face = Object.assign(document.createElement("span"), { textContent: `${rank} ` });
    const hint = { 1: "best", [count]: "worst" }[rank];
    if (hint) face.append(Object.assign(document.createElement("small"), { textContent: hint }));
    const label = document.createElement("label");
    label.append(radio, face);
    field.querySelector(".ranks").append(label);
    radios.push(radio);
  }
  return { name, token: imageToken, field, radios };
}

// As large as the window allows, without scrolling if that leaves the images a sensible size.
function fit() {
  const views = [...images.children];
  if (at("trial").hidden || views.length === 0) return;
  const { naturalWidth, naturalHeight } = images.querySelector("img");
  const aspect = naturalWidth / naturalHeight;
  const view = cards[0].field.querySelector(".view");
  const gap = parseFloat(getComputedStyle(images).columnGap);
  const around = cards[0].field.offsetHeight - view.offsetHeight; // letter and ranks
  const beside = cards[0].field.offsetWidth - view.offsetWidth;
  const wide = images.clientWidth;
  const tall = innerHeight - (document.body.offsetHeight - images.offsetHeight);
  let best = { side: 0, columns: 1 };
  for (let columns = 1; columns <= views.length; columns++) {
    const rows = Math.ceil(views.length / columns);
    const across = (wide - (columns - 1) * gap) / columns - beside;
    const down = ((tall - (rows - 1) * gap) / rows - around) * aspect;
    const side = Math.min(across, Math.max(down, Math.min(across, SMALLEST)));
    if (side > best.side) best = { side, columns };
  }
  images.style.setProperty("--columns", best.columns);
  images.style.setProperty("--side", `${Math.floor(best.side)}px`);
  images.style.setProperty("--aspect", aspect);
}

// Ranks

const rankOf = (one) => Number(one.radios.find((radio) => radio.checked)?.value ?? 0);

function setRank(one, rank) {
  for (const radio of one.radios) radio.checked = Number(radio.value) === rank;
  one.field.dataset.rank = rank || "";
}

// No two images share a rank: whoever had it takes the other's old one. The last image takes what is left.
function give(one, rank) {
  const old = Number(one.field.dataset.rank || 0);
  const holder = cards.find((other) => other !== one && rankOf(other) === rank);
  if (holder) setRank(holder, old);
  setRank(one, rank);
  const open = cards.filter((other) => !rankOf(other));
  if (open.length === 1) {
    const taken = new Set(cards.map(rankOf));
    setRank(open[0], cards.map((_, index) => index + 1).find((free) => !taken.has(free)));
  }
  say(cards.map((other) => `${other.name}: ${rankOf(other) || "–"}`).join(", "));
}

function focusOn(one) {
  (one.radios.find((radio) => radio.checked) ?? one.radios[0]).focus({ preventScroll: true });
  one.field.scrollIntoView({ block: "nearest" });
}

const cardOf = (element) => cards.find((one) => one.field.contains(element));

at("trial").addEventListener("change", (event) => {
  give(cardOf(event.target), Number(event.target.value));
});

at("trial").addEventListener("submit", (event) => {
  event.preventDefault();
  const open = cards.filter((one) => !rankOf(one));
  if (open.length) {
    say(`No rank yet: ${open.map((one) => one.name).join(", ")}`, true);
    return focusOn(open[0]);
  }
  const milliseconds = Math.round(performance.now() - shownAt);
  const ranking = [...cards].sort((one, other) => rankOf(one) - rankOf(other)).map((one) => one.token);
  attempt(async () => {
    let reply;
    try {
      reply = await ask("answer", { ranking, milliseconds });
    } catch (error) {
      if (error.status !== 409) throw error;
      reply = await ask("trial"); // it was answered in another window
    }
    await display(await reply.json());
  });
});

// Zoom and position, the same for all images: in percent of an image

let zoom = { scale: 1, x: 0, y: 0 };

function zoomTo(scale, x, y) {
  scale = Math.min(Math.max(scale, 1), 16);
  const within = (offset) => Math.min(0, Math.max(100 * (1 - scale), offset));
  zoom = { scale, x: within(x), y: within(y) };
  images.style.setProperty("--scale", zoom.scale);
  images.style.setProperty("--x", `${zoom.x}%`);
  images.style.setProperty("--y", `${zoom.y}%`);
  images.classList.toggle("zoomed", zoom.scale > 1);
}

function zoomAround(factor, x = 50, y = 50) {
  const scale = Math.min(Math.max(zoom.scale * factor, 1), 16);
  const ratio = scale / zoom.scale;
  zoomTo(scale, x - (x - zoom.x) * ratio, y - (y - zoom.y) * ratio);
}

const zooms = { in: () => zoomAround(1.5), out: () => zoomAround(1 / 1.5), reset: () => zoomTo(1, 0, 0) };
const keys = { "+": "in", "=": "in", "-": "out", "−": "out", 0: "reset" };
const steps = { ArrowLeft: [10, 0], ArrowRight: [-10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] };

at("zoom").addEventListener("click", (event) => zooms[event.target.value]?.());

at("trial").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const one = cardOf(document.activeElement);
  if (event.shiftKey && steps[event.key]) {
    const [x, y] = steps[event.key];
    zoomTo(zoom.scale, zoom.x + x, zoom.y + y);
  } else if (keys[event.key]) {
    zooms[keys[event.key]]();
  } else if (one && event.key >= "1" && event.key <= String(cards.length)) {
    give(one, Number(event.key));
    const open = cards.find((other) => !rankOf(other));
    open ? focusOn(open) : at("save").focus();
  } else {
    return;
  }
  event.preventDefault();
});

function place(event, view) {
  const box = view.getBoundingClientRect();
  return [(100 * (event.clientX - box.left)) / box.width, (100 * (event.clientY - box.top)) / box.height];
}

images.addEventListener(
  "wheel",
  (event) => {
    const view = event.target.closest(".view");
    const scrolls = document.documentElement.scrollHeight > innerHeight;
    if (!view || (scrolls && !event.ctrlKey)) return;
    event.preventDefault();
    zoomAround(Math.exp(-event.deltaY / 400), ...place(event, view));
  },
  { passive: false },
);

images.addEventListener("pointerdown", (event) => {
  const view = event.target.closest(".view");
  if (!view || event.button !== 0) return;
  event.preventDefault(); // no drag of the picture, and the focus stays in the form
  if (cardOf(view)) focusOn(cardOf(view));
  const start = place(event, view);
  const { x, y } = zoom;
  let moved = false;
  const move = (later) => {
    const now = place(later, view);
    moved ||= Math.hypot(now[0] - start[0], now[1] - start[1]) > 1;
    if (moved) zoomTo(zoom.scale, x + now[0] - start[0], y + now[1] - start[1]);
  };
  const stop = (later) => {
    if (later.type === "pointerup" && !moved) zoomAround(2, ...start);
    view.removeEventListener("pointermove", move);
    view.removeEventListener("pointerup", stop);
    view.removeEventListener("pointercancel", stop);
  };
  view.setPointerCapture(event.pointerId);
  view.addEventListener("pointermove", move);
  view.addEventListener("pointerup", stop);
  view.addEventListener("pointercancel", stop);
});

// Start

at("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim().split("#").pop();
  start();
});

const start = () =>
  attempt(async () => {
    const reply = await ask("trial");
    sessionStorage.setItem("token", token); // so that a reload goes on
    await display(await reply.json());
  });

addEventListener("resize", fit);
addEventListener("hashchange", () => location.reload()); // the link of another reader
token ? start() : begin("");
