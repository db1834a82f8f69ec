// The page, from the first measurement on

async function start() {
  colours = await decode({ data: job.colours, shape: [1, 1, 256, 3], low: 0, high: 255 });
  at("title").textContent = `Posterior report: ${job.name}`;
  at("question").textContent = job.settings.slice(0, 3).map(([, words]) => words).join(" · ");
  at("which").append(...job.measurements.map(option));
  const sides = [1, 3, 5, 9, 15].map((side) => make("option", { value: side }, side === 1 ? "1 pixel" : `${side} × ${side} pixels`));
  at("region").append(...sides, make("option", { value: "", disabled: "" }, "a region"));
  at("table").append(table(job.table));
  at("suspects").append(...suspects());
  showGroups();
  at("notes").append(...job.notes.map((text) => make("li", {}, text)));
  at("settings").append(...job.settings.flatMap(([key, words]) => [make("dt", {}, key), make("dd", {}, words)]));
  await show(0);
  viewer.focus({ preventScroll: true });
  document.body.dataset.ready = "";
}

start();
