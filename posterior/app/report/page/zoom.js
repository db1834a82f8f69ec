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
