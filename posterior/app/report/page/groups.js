// Groups: how well each is reconstructed and whether it is represented, each figure with its interval

function showGroups() {
  const { groups } = job;
  at("groups").hidden = !groups;
  if (!groups) return;
  const heads = ["group", "true images", ...groups.heads].map((text) => make("th", { scope: "col" }, text));
  const bodies = groups.methods.map(({ name, words, cells }) => {
    const head = make("th", { scope: "rowgroup", colspan: heads.length }, name, " ", make("span", { class: "numbers" }, words));
    const rows = groups.names.map((group, k) => {
      const figures = groups.heads.map((_, n) => make("td", {}, ...(cells[n]?.[k] ? [cells[n][k].text, range(cells[n][k].ends, groups.scales[n])] : ["–"])));
      return make("tr", {}, make("th", { scope: "row" }, group), make("td", {}, groups.counts[k]), ...figures);
    });
    return make("tbody", {}, make("tr", {}, head), ...rows);
  });
  at("groups-table").append(make("table", {}, make("thead", {}, make("tr", {}, ...heads)), ...bodies));
  at("groups-notes").append(...groups.notes.map((text) => make("li", {}, text)));
}

// An interval and its value over what its column is drawn over, with a line at zero
function range([low, value, high], [from, to]) {
  const across = (x) => `${(100 * (x - from)) / (to - from)}%`;
  const [bar, mark] = [make("i"), make("b")];
  Object.assign(bar.style, { left: across(low), right: `calc(100% - ${across(high)})` });
  mark.style.left = across(value);
  const drawn = make("div", { class: "range", "aria-hidden": "true" }, bar, mark);
  if (from < 0 && to > 0) {
    const zero = make("s");
    zero.style.left = across(0);
    drawn.prepend(zero);
  }
  return drawn;
}
