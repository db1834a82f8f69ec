// The probe: the law of the mean value of a region

const BINS = 20;
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
