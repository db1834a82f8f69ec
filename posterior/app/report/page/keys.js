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
