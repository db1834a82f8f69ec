// The page of a report: one measurement at a time, all pictures of it with the same zoom, and a probe. It runs as soon
// as the first measurement is there, while the others are still being read.

"use strict";

const at = (id) => document.getElementById(id);
const read = (id) => JSON.parse(at(id).textContent);
const job = read("job");
const viewer = at("viewer");

let shown = null; // the measurement on the screen: {id, truth, measurement, methods}, with arrays decoded
let place = -1;
let panels = []; // {paint} of each picture on the screen
let probes = []; // {method, svg, note}
let probe = { x: 0, y: 0, width: 1, height: 1 }; // in pixels of an image
let sample = 0;
let timer = 0;
