// Arrays: levels of 8 bits, differences of neighbours, deflated, as base64

async function decode(array) {
  const packed = Uint8Array.from(atob(array.data), (one) => one.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const levels = new Uint8Array(await new Response(stream).arrayBuffer());
  const width = array.shape.at(-1);
  for (let i = 0; i < levels.length; i++) if (i % width) levels[i] += levels[i - 1];
  const step = (array.high - array.low) / 255;
  const values = Float32Array.from(levels, (level) => array.low + step * level);
  return { values, shape: array.shape, high: array.high };
}

// Replace all arrays within a value by what they decode to.
async function decoded(value) {
  if (Array.isArray(value)) return Promise.all(value.map(decoded));
  if (value === null || typeof value !== "object") return value;
  if ("data" in value && "shape" in value) return decode(value);
  const entries = Object.entries(value).map(async ([key, one]) => [key, await decoded(one)]);
  return Object.fromEntries(await Promise.all(entries));
}

const nth = (array, n) => {
  const [, ...shape] = array.shape;
  const size = shape[0] * shape[1] * shape[2];
  return { values: array.values.subarray(n * size, (n + 1) * size), shape };
};
