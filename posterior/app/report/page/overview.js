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
