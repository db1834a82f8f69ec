// The rows of pictures: what is given, and what each sampler made of it

const BLUE = [86, 180, 233]; // what was not measured

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
