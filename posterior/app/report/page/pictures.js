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

const size = () => {
  const array = shown.truth ?? shown.methods.map((one) => one.mean ?? one.estimate).find(Boolean) ?? shown.measurement?.picture;
  return array ? array.shape.slice(-2) : [1, 1]; // height, width
};
const aspect = () => size()[0] / size()[1];
