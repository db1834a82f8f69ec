// The measurement and the sample on the screen

const FRAME = 200; // milliseconds of a sample: fewer than three flashes a second

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
