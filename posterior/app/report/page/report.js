// The page of a report: one measurement at a time, all pictures of it with the same zoom, and a probe. It runs as soon
// as the first measurement is there, while the others are still being read.

"use strict";

const at = (id) => document.getElementById(id);
const read = (id) => JSON.parse(at(id).textContent);
const job = read("job");
const viewer = at("viewer");
const BLUE = [86, 180, 233]; // what was not measured
const FRAME = 200; // milliseconds of a sample: fewer than three flashes a second
const BINS = 20;
const LEVELS = { sound: "sound", "too few to tell": "few", doubtful: "doubtful", "not the posterior": "wrong", failed: "wrong" };

let shown = null; // the measurement on the screen: {id, truth, measurement, methods}, with arrays decoded
let place = -1;
let panels = []; // {paint} of each picture on the screen
let probes = []; // {method, svg, note}
let probe = { x: 0, y: 0, width: 1, height: 1 }; // in pixels of an image
let sample = 0;
let timer = 0;

// Arrays: levels of 8 bits, differences of neighbours, deflated, as base64

async function decode(array) {
  const packed = Uint8Array.from(atob(array.data), (one) => one.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const levels = new Uint8Array(await new Response(stream).arrayBuffer());
  const width = array.shape.at(-1);
  for (let i = 0; i < levels.length; i++) if (i % width) levels[i] += levels[i - 1];
  const step = (array.high - array.low) / 255;
  const values = Float32Array.from(levels, (level) => array.low + step * level);
  return { values, shape: array.shape, high: array.high };
}

// Replace all arrays within a value by what they decode to.
async function decoded(value) {
  if (Array.isArray(value)) return Promise.all(value.map(decoded));
  if (value === null || typeof value !== "object") return value;
  if ("data" in value && "shape" in value) return decode(value);
  const entries = Object.entries(value).map(async ([key, one]) => [key, await decoded(one)]);
  return Object.fromEntries(await Promise.all(entries));
}

const nth = (array, n) => {
  const [, ...shape] = array.shape;
  const size = shape[0] * shape[1] * shape[2];
  return { values: array.values.subarray(n * size, (n + 1) * size), shape };
};

// Small parts of the page; text from files is only ever set as text

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// A number with as many decimals as the window of the pictures asks for
const number = (value) => {
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(job.white - job.black)));
  const text = decimals > 5 ? value.toPrecision(3) : value.toFixed(decimals);
  return text.replace(/^-(?=[0.]*$)/, "").replace("-", "−");
};

const percent = (share) => `${Math.round(100 * share)} %`;

function qualities(found) {
  if (!found) return "";
  const words = {
    psnr: (value) => `PSNR ${value.toFixed(1)} dB`,
    coverage: (value) => `90 % coverage ${percent(value)}`,
    misfit: (value) => `misfit ${value.toFixed(2)} σ`,
    effective_samples: (value) => `${Math.round(value).toLocaleString("en")} effective samples`,
    calls: (value) => `${Math.round(value).toLocaleString("en")} network calls`,
  };
  return Object.keys(words).filter((key) => typeof found[key] === "number").map((key) => words[key](found[key])).join(" · ");
}

const level = (name) => make("span", { class: `level ${LEVELS[name] ?? ""}` }, name);

// What was found, in words, and what to do
function finding(method) {
  if (method.error) return make("div", { class: "finding grave" }, `It failed: ${method.error}`);
  const verdict = method.verdict;
  if (!verdict?.findings.length) return "";
  const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
  const grave = verdict.level === "not the posterior" ? " grave" : "";
  const box = make("div", { class: `finding${grave}` }, make("p", {}, verdict.findings.map(sentence).join(" ")));
  if (verdict.remedy) box.append(make("p", {}, make("b", {}, "What to do: "), sentence(verdict.remedy)));
  return box;
}

function head(method) {
  const name = method.error ? "failed" : method.verdict?.level;
  return make("div", { class: "head" }, make("h3", {}, method.name), name ? level(name) : "", make("span", { class: "numbers" }, qualities(method.quality)));
}

// Pictures

let colours; // red, green and blue of 256 shades
const shade = (share) => {
  const place = 3 * Math.round(255 * Math.min(1, Math.max(0, share)));
  return colours.values.subarray(place, place + 3);
};
const gradient = (of) => `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map((share) => `rgb(${of(share).join(",")})`)})`;

// Red, green and blue of pixel i: grey, colours, or the magnitude of a complex number's two parts
function grey(image, black, white) {
  const { values, shape: [channels, height, width] } = image;
  const size = height * width;
  const scale = 255 / (white - black);
  return (i) => {
    if (channels === 2) return Array(3).fill(scale * (Math.hypot(values[i], values[i + size]) - black));
    return [0, 1, 2].map((c) => scale * (values[i + (channels === 3 ? c * size : 0)] - black));
  };
}

const heat = (image, high) => (i) => shade(image.values[i] / high);

function fill(canvas, [, height, width], colour) {
  canvas.width = width;
  canvas.height = height;
  const pixels = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) pixels.set(colour(i), 4 * i);
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  canvas.classList.toggle("coarse", width < 256);
}

// A panel that paints itself: `look` gives {shape, colour, note}, or {absent} in words.
function panel(title, look, { of = "", heatOf = 0 } = {}) {
  const figure = at("panel").content.cloneNode(true).firstElementChild;
  const canvas = figure.querySelector("canvas");
  figure.querySelector("figcaption").textContent = title;
  const first = look();
  if (first.absent) {
    figure.classList.add("absent");
    figure.querySelector(".view").textContent = first.absent;
    return figure;
  }
  canvas.setAttribute("aria-label", of ? `${title} by ${of}` : title);
  if (heatOf) {
    const scale = figure.querySelector(".scale");
    scale.hidden = false;
    scale.firstElementChild.textContent = "0";
    scale.lastElementChild.textContent = number(heatOf);
    scale.querySelector("i").style.background = gradient(shade);
  }
  const probed = Math.abs(first.shape[1] / first.shape[2] / aspect() - 1) < 0.02;
  const marker = probed ? figure.querySelector(".marker") : null;
  figure.querySelector(".view").classList.toggle("probed", probed);
  const paint = () => {
    const { shape, colour, note = "" } = look();
    fill(canvas, shape, colour);
    figure.querySelector(".note").textContent = note;
  };
  paint();
  panels.push({ paint, marker });
  return figure;
}

const picture = (image, note) => ({ shape: image.shape, colour: grey(image, job.black, job.white), note });

// Truth, measurement and point estimates

function given() {
  const row = make("div", { class: "panels" });
  if (shown.truth) row.append(panel("Truth", () => picture(nth(shown.truth, 0))));
  const y = shown.measurement;
  row.append(panel("Measurement", () => {
    if (!y) return { absent: "It could not be simulated" };
    if (!y.picture) return { absent: y.note };
    const image = nth(y.picture, 0);
    const colour = grey(image, y.black, y.white);
    const missing = y.missing?.values;
    return { shape: image.shape, colour: (i) => (missing?.[i] ? BLUE : colour(i)), note: y.note };
  }));
  const findings = make("div", { class: "findings" });
  for (const method of shown.methods.filter((one) => "estimate" in one)) {
    const figure = panel(method.name, () =>
      method.estimate ? picture(nth(method.estimate, 0)) : { absent: "It holds NaN or infinity" });
    figure.append(make("p", { class: "note" }, ["point estimate", qualities(method.quality)].filter(Boolean).join(" · ")));
    if (method.verdict) figure.append(make("p", {}, level(method.verdict.level)));
    row.append(figure);
    const found = finding(method);
    if (found) {
      found.prepend(make("b", {}, method.name));
      findings.append(found);
    }
  }
  findings.style.setProperty("--from", (row.children.length % 7) + 1);
  if (findings.children.length) row.append(findings);
  return make("section", { "aria-label": "Truth, measurement and point estimates" }, row);
}

// A sampler's row: mean, a sample, a walk, spread, error, and the probe

function sampler(method, spread) {
  const section = make("section", { "aria-label": method.name }, head(method), finding(method));
  if (method.error) return section;
  const row = make("div", { class: "panels" });
  const lost = "It holds NaN or infinity";
  const mean = method.mean ? nth(method.mean, 0) : null;
  row.append(panel("Mean", () => (mean ? picture(mean) : { absent: lost }), { of: method.name }));
  row.append(panel("Sample", () => {
    if (!method.samples) return { absent: "Samples were not kept" };
    const n = sample % method.samples.shape[0];
    return picture(nth(method.samples, n), `${n + 1} of ${method.samples.shape[0]}`);
  }, { of: method.name }));
  row.append(panel("Principal component", () => {
    const found = method.components;
    if (!found || !mean) return { absent: method.samples ? "One sample has none" : "It needs samples, which were not kept" };
    const k = Math.min(Number(at("component").value), found.share.length - 1);
    const direction = nth(found.steps, k).values;
    const t = Number(at("step").value);
    const values = mean.values.map((value, i) => value + t * direction[i]);
    return picture({ values, shape: mean.shape }, `${percent(found.share[k])} of the variance`);
  }, { of: method.name }));
  const map = (title, array, high, absent) =>
    row.append(panel(title, () => {
      if (!array) return { absent };
      const image = nth(array, 0);
      return { shape: image.shape, colour: heat(image, high) };
    }, { of: method.name, heatOf: high }));
  map("Standard deviation", method.std, spread.std, job.samples > 1 ? lost : "One sample has none");
  map("90 % interval width", method.width, spread.width, job.samples < job.fewest ? `It needs ${job.fewest} samples` : lost);
  if (shown.truth && mean) map("|Mean − truth|", distance(mean, nth(shown.truth, 0)), spread.std, lost);
  row.append(probePanel(method));
  section.append(row);
  return section;
}

function distance(mean, truth) {
  const [channels, height, width] = mean.shape;
  const size = height * width;
  const values = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    if (channels === 2) values[i] = Math.abs(Math.hypot(mean.values[i], mean.values[i + size]) - truth.values[i]);
    else for (let c = 0; c < channels; c++) values[i] += Math.abs(mean.values[i + c * size] - truth.values[i + c * size]) / channels;
  }
  return { values, shape: [1, 1, height, width] };
}

// The colours of all samplers have one scale; those of intervals are a Gaussian's for the same colours of deviations.
function spreads() {
  const of = (key) => Math.max(0, ...shown.methods.map((one) => one[key]?.high ?? 0));
  const std = Math.max(of("std"), of("width") / 3.29) || 1;
  return { std, width: 3.29 * std };
}

// The probe: the law of the mean value of a region

const SVG = "http://www.w3.org/2000/svg";
function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function probePanel(method) {
  const svg = draw("svg", { role: "img", viewBox: "0 0 200 132", preserveAspectRatio: "none" });
  const ends = make("div", { class: "scale" });
  const note = make("p", { class: "note" });
  const figure = make("figure", { class: "panel probe" }, make("figcaption", {}, "Probe"), svg, ends, note);
  probes.push({ method, svg, ends, note });
  return figure;
}

const size = () => {
  const array = shown.truth ?? shown.methods.map((one) => one.mean ?? one.estimate).find(Boolean) ?? shown.measurement?.picture;
  return array ? array.shape.slice(-2) : [1, 1]; // height, width
};
const aspect = () => size()[0] / size()[1];

// Mean over the probed region, and over channels, of each image of an array
function regionMeans(array) {
  const [count, channels, height, width] = array.shape;
  const means = new Float64Array(count);
  for (let n = 0; n < count; n++) {
    for (let c = 0; c < channels; c++)
      for (let y = probe.y; y < probe.y + probe.height; y++)
        for (let x = probe.x; x < probe.x + probe.width; x++) means[n] += array.values[((n * channels + c) * height + y) * width + x];
    means[n] /= channels * probe.width * probe.height;
  }
  return means;
}

function quantile(sorted, share) {
  const where = share * (sorted.length - 1);
  const below = Math.floor(where);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (where - below) * (sorted[above] - sorted[below]);
}

// What is known of the probed value by a method: {values}, or {quantiles} where samples were not kept, or {absent}
function lawOf(method) {
  if (method.samples) {
    const values = regionMeans(method.samples).sort();
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const sd = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, values.length - 1));
    const interval = values.length >= job.fewest ? job.interval.map((share) => quantile(values, share)) : null;
    return { values, mean, sd, interval };
  }
  if (!method.quantiles) return { absent: "It needs samples, which were not kept." };
  if (probe.width * probe.height > 1) return { absent: "The law of a region's mean needs samples, which were not kept. Probe one pixel." };
  const quantiles = regionMeans(method.quantiles);
  return { quantiles, interval: [quantiles[0], quantiles.at(-1)] };
}

function drawProbes() {
  for (const { marker } of panels) {
    if (!marker) continue;
    const [height, width] = size();
    marker.hidden = false;
    Object.assign(marker.style, {
      left: `${(100 * probe.x) / width}%`, top: `${(100 * probe.y) / height}%`,
      width: `${(100 * probe.width) / width}%`, height: `${(100 * probe.height) / height}%`,
    });
  }
  const truth = shown.truth ? regionMeans(shown.truth)[0] : null;
  const laws = probes.map(({ method }) => lawOf(method));
  const all = laws.flatMap((law) => [...(law.values ?? law.quantiles ?? [])]).concat(truth ?? []);
  let [low, high] = [Math.min(...all), Math.max(...all)];
  const margin = (high - low) * 0.06 || 0.05;
  low -= margin;
  high += margin;
  const across = (value) => (200 * (value - low)) / (high - low);
  probes.forEach(({ svg, ends, note }, n) => {
    const law = laws[n];
    svg.replaceChildren();
    const words = [];
    svg.toggleAttribute("hidden", "absent" in law);
    ends.hidden = "absent" in law;
    if (law.absent) {
      note.textContent = law.absent;
      return;
    }
    const [from, to] = law.interval ?? [0, 0];
    if (law.interval) svg.append(draw("rect", { class: "interval", x: across(from), width: Math.max(0.5, across(to) - across(from)), y: 0, height: 132 }));
    if (law.values) {
      const counts = Array(BINS).fill(0);
      for (const value of law.values) counts[Math.min(BINS - 1, Math.floor((BINS * (value - low)) / (high - low)))] += 1;
      const most = Math.max(...counts);
      counts.forEach((count, bin) => count && svg.append(draw("rect", { class: "bar", x: (200 / BINS) * bin + 0.5, width: 200 / BINS - 1, y: 132 - (124 * count) / most, height: (124 * count) / most })));
      words.push(`mean ${number(law.mean)}, sd ${number(law.sd)}`);
    } else {
      const [, lower, middle, upper] = law.quantiles;
      svg.append(draw("rect", { class: "bar", x: across(lower), width: Math.max(0.5, across(upper) - across(lower)), y: 46, height: 40 }));
      svg.append(draw("line", { class: "middle", x1: across(middle), x2: across(middle), y1: 46, y2: 86 }));
      words.push(`median ${number(middle)}, half of it between ${number(lower)} and ${number(upper)}`);
    }
    if (law.interval) words.push(`90 % between ${number(from)} and ${number(to)}`);
    svg.append(draw("line", { class: "axis", x1: 0, x2: 200, y1: 132, y2: 132 }));
    if (truth !== null) {
      svg.append(draw("line", { class: "truth", x1: across(truth), x2: across(truth), y1: 0, y2: 132 }));
      const inside = law.interval ? (truth >= from && truth <= to ? ", inside" : ", outside") : "";
      words.push(`truth ${number(truth)}${inside}`);
    }
    ends.replaceChildren(make("span", {}, number(low)), make("span", {}, number(high)));
    note.textContent = words.join("; ");
    svg.setAttribute("aria-label", `Distribution of the probed value: ${note.textContent}`);
  });
}

const where = () =>
  probe.width * probe.height === 1
    ? `Pixel in row ${probe.y + 1}, column ${probe.x + 1}`
    : `Region of ${probe.height} × ${probe.width} pixels from row ${probe.y + 1}, column ${probe.x + 1}`;

function probeAt(x, y, width, height, tell = true) {
  const [rows, columns] = size();
  width = Math.min(Math.max(1, width), columns);
  height = Math.min(Math.max(1, height), rows);
  probe = { x: Math.min(Math.max(0, x), columns - width), y: Math.min(Math.max(0, y), rows - height), width, height };
  const side = at("region");
  side.value = probe.width === probe.height && [...side.options].some((one) => one.value === String(probe.width)) ? probe.width : "";
  drawProbes();
  if (tell) say(where());
}

// The measurement on the screen

const say = (text) => (at("status").textContent = text);
const repaint = () => panels.forEach(({ paint }) => paint());

async function show(number) {
  number = Math.min(Math.max(0, number), job.measurements.length - 1);
  if (number === place) return;
  place = number;
  if (!at(`measurement-${number}`)) await new Promise((done) => addEventListener("DOMContentLoaded", done, { once: true }));
  const content = await decoded(read(`measurement-${number}`));
  if (place !== number) return; // another was asked for meanwhile
  const before = shown && size().join();
  shown = content;
  panels = [];
  probes = [];
  viewer.style.setProperty("--aspect", 1 / aspect());
  at("heading").textContent = `Measurement ${shown.id}`;
  const samplers = shown.methods.filter((one) => !("estimate" in one));
  const spread = spreads();
  at("sections").replaceChildren(given(), ...samplers.map((one) => sampler(one, spread)));
  at("which").value = number;
  at("previous").disabled = number === 0;
  at("next").disabled = number === job.measurements.length - 1;
  const most = Math.max(0, ...samplers.map((one) => one.samples?.shape[0] ?? 0));
  const components = Math.max(0, ...samplers.map((one) => one.components?.share.length ?? 0));
  at("flicker").hidden = most < 2;
  at("walk").hidden = components === 0;
  at("sample").max = Math.max(1, most);
  at("component").replaceChildren(...Array.from({ length: components }, (_, k) => make("option", { value: k }, `${k + 1}`)));
  walkWords();
  flip(Math.min(sample, most - 1));
  const [rows, columns] = size();
  if (before === size().join()) probeAt(probe.x, probe.y, probe.width, probe.height, false);
  else widest(rows, columns);
  say(`Measurement ${shown.id}, ${number + 1} of ${job.measurements.length}`);
}

// The first probe is where the spread is largest.
function widest(rows, columns) {
  const std = shown.methods.find((one) => one.std)?.std.values;
  const most = std ? std.indexOf(std.reduce((one, other) => Math.max(one, other), 0)) : Math.floor(((rows + 1) * columns) / 2);
  probeAt(Math.max(0, most) % columns, Math.floor(Math.max(0, most) / columns), 1, 1, false);
}

function flip(to) {
  const count = Number(at("sample").max);
  sample = (to + count) % count || 0;
  at("sample").value = sample + 1;
  at("sample-words").textContent = `${sample + 1} of ${count}`;
  repaint();
}

function play(on = !timer) {
  clearInterval(timer);
  timer = on && !at("flicker").hidden ? setInterval(() => flip(sample + 1), FRAME) : 0;
  at("play").setAttribute("aria-pressed", Boolean(timer));
}

function walkWords() {
  const t = Number(at("step").value);
  at("step-words").textContent = `${t > 0 ? "+" : t < 0 ? "−" : ""}${Math.abs(t).toFixed(1)} sd`;
}

// Zoom and position, the same for all pictures: in percent of one

let zoom = { scale: 1, x: 0, y: 0 };

function zoomTo(scale, x, y) {
  scale = Math.min(Math.max(scale, 1), 16);
  const within = (offset) => Math.min(0, Math.max(100 * (1 - scale), offset));
  zoom = { scale, x: within(x), y: within(y) };
  viewer.style.setProperty("--scale", zoom.scale);
  viewer.style.setProperty("--x", `${zoom.x}%`);
  viewer.style.setProperty("--y", `${zoom.y}%`);
  viewer.classList.toggle("zoomed", zoom.scale > 1);
}

function zoomAround(factor, x = 50, y = 50) {
  const scale = Math.min(Math.max(zoom.scale * factor, 1), 16);
  const ratio = scale / zoom.scale;
  zoomTo(scale, x - (x - zoom.x) * ratio, y - (y - zoom.y) * ratio);
}

// Where an event is in a view, in percent of it
function within(event, view) {
  const box = view.getBoundingClientRect();
  return [(100 * (event.clientX - box.left)) / box.width, (100 * (event.clientY - box.top)) / box.height];
}

// The pixel of an image at a point of a view
function pixel([x, y]) {
  const [rows, columns] = size();
  const along = (point, offset, count) => Math.floor((count * (point - offset)) / (100 * zoom.scale));
  const inside = (value, count) => Math.min(Math.max(0, value), count - 1);
  return [inside(along(x, zoom.x, columns), columns), inside(along(y, zoom.y, rows), rows)];
}

viewer.addEventListener("wheel", (event) => {
  const view = event.target.closest(".view");
  if (!view || !event.ctrlKey) return;
  event.preventDefault();
  zoomAround(Math.exp(-event.deltaY / 400), ...within(event, view));
}, { passive: false });

viewer.addEventListener("pointerdown", (event) => {
  const view = event.target.closest(".view");
  if (!view || event.button !== 0 || view.closest(".absent")) return;
  event.preventDefault();
  viewer.focus({ preventScroll: true });
  const start = within(event, view);
  const first = pixel(start);
  const region = event.shiftKey && view.classList.contains("probed");
  const { x, y } = zoom;
  let moved = false;
  const move = (later) => {
    const now = within(later, view);
    moved ||= Math.hypot(now[0] - start[0], now[1] - start[1]) > 2;
    if (!moved) return;
    if (!region) return zoomTo(zoom.scale, x + now[0] - start[0], y + now[1] - start[1]);
    const last = pixel(now);
    const low = [0, 1].map((i) => Math.min(first[i], last[i]));
    probeAt(...low, ...[0, 1].map((i) => Math.max(first[i], last[i]) - low[i] + 1));
  };
  const stop = (later) => {
    if (later.type === "pointerup" && !moved && view.classList.contains("probed")) {
      const side = Number(at("region").value) || 1;
      probeAt(...first.map((one) => one - Math.floor(side / 2)), side, side);
    }
    for (const [name, listener] of listeners) view.removeEventListener(name, listener);
  };
  const listeners = [["pointermove", move], ["pointerup", stop], ["pointercancel", stop]];
  for (const [name, listener] of listeners) view.addEventListener(name, listener);
  view.setPointerCapture(event.pointerId);
});

// Controls and keys

const zooms = { in: () => zoomAround(1.5), out: () => zoomAround(1 / 1.5), reset: () => zoomTo(1, 0, 0) };
const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const keys = {
  n: () => show(place + 1), p: () => show(place - 1), " ": () => play(), ",": () => flip(sample - 1), ".": () => flip(sample + 1),
  "+": zooms.in, "=": zooms.in, "-": zooms.out, "−": zooms.out, 0: zooms.reset,
};

viewer.addEventListener("keydown", (event) => {
  if (event.target !== viewer || event.ctrlKey || event.metaKey || event.altKey) return;
  if (arrows[event.key]) {
    const [x, y] = arrows[event.key];
    if (event.shiftKey) zoomTo(zoom.scale, zoom.x - 10 * x, zoom.y - 10 * y);
    else probeAt(probe.x + x, probe.y + y, probe.width, probe.height);
  } else if (keys[event.key.toLowerCase()]) {
    keys[event.key.toLowerCase()]();
  } else {
    return;
  }
  event.preventDefault();
});

at("previous").addEventListener("click", () => show(place - 1));
at("next").addEventListener("click", () => show(place + 1));
at("which").addEventListener("change", () => show(Number(at("which").value)));
at("play").addEventListener("click", () => play());
at("sample").addEventListener("input", () => {
  play(false);
  flip(Number(at("sample").value) - 1);
});
for (const id of ["component", "step"]) at(id).addEventListener("input", () => {
  walkWords();
  repaint();
});
at("region").addEventListener("change", () => {
  const side = Number(at("region").value) || 1;
  const middle = [probe.x + Math.floor(probe.width / 2), probe.y + Math.floor(probe.height / 2)];
  probeAt(...middle.map((one) => one - Math.floor(side / 2)), side, side);
});
at("zoom").addEventListener("click", (event) => zooms[event.target.value]?.());

// What does not change from one measurement to the next

function table([heads, ...lines]) {
  const cell = (text, n) => (n ? make("td", {}, text) : make("th", { scope: "row" }, text));
  const top = heads.map((text) => make("th", { scope: "col" }, text));
  return make("table", {}, make("thead", {}, make("tr", {}, ...top)), make("tbody", {}, ...lines.map((line) => make("tr", {}, ...line.map(cell)))));
}

// Which measurements a method is not to be trusted with, the gravest first
function suspects() {
  const lines = [];
  for (const name of ["failed", ...[...job.levels].reverse()].filter((one) => one !== "sound")) {
    job.methods.forEach((method, m) => {
      const found = job.measurements.flatMap((one, n) => (one.levels[m] === name ? [n] : []));
      if (!found.length) return;
      const buttons = found.map((n) => {
        const button = make("button", { "aria-label": `Measurement ${job.measurements[n].id}: ${method} ${name}` }, `${job.measurements[n].id}`);
        button.addEventListener("click", () => {
          show(n);
          viewer.focus();
          scrollTo(0, 0);
        });
        return button;
      });
      lines.push(make("div", {}, make("p", {}, level(name), ` · ${method}, ${found.length} of ${job.measurements.length} shown`), ...buttons));
    });
  }
  return lines.length ? lines : [make("p", {}, "No check found a fault with any measurement on this page.")];
}

function option({ id, levels }, n) {
  const order = ["", ...job.levels, "failed"];
  const worst = levels.reduce((one, other) => (order.indexOf(other) > order.indexOf(one) ? other : one), "");
  return make("option", { value: n }, worst ? `${id} · ${worst}` : `${id}`);
}

async function start() {
  colours = await decode({ data: job.colours, shape: [1, 1, 256, 3], low: 0, high: 255 });
  at("title").textContent = `Posterior report: ${job.name}`;
  at("question").textContent = job.settings.slice(0, 3).map(([, words]) => words).join(" · ");
  at("which").append(...job.measurements.map(option));
  const sides = [1, 3, 5, 9, 15].map((side) => make("option", { value: side }, side === 1 ? "1 pixel" : `${side} × ${side} pixels`));
  at("region").append(...sides, make("option", { value: "", disabled: "" }, "a region"));
  at("table").append(table(job.table));
  at("suspects").append(...suspects());
  at("notes").append(...job.notes.map((text) => make("li", {}, text)));
  at("settings").append(...job.settings.flatMap(([key, words]) => [make("dt", {}, key), make("dd", {}, words)]));
  await show(0);
  viewer.focus({ preventScroll: true });
  document.body.dataset.ready = "";
}

start();
