// Small parts of the page; text from files is only ever set as text

const LEVELS = { sound: "sound", "too few to tell": "few", doubtful: "doubtful", "not the posterior": "wrong", failed: "wrong" };

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// A number with as many decimals as the window of the pictures asks for
const number = (value) => {
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(job.white - job.black)));
  const text = decimals > 5 ? value.toPrecision(3) : value.toFixed(decimals);
  return text.replace(/^-(?=[0.]*$)/, "").replace("-", "−");
};

const percent = (share) => `${Math.round(100 * share)} %`;

function qualities(found) {
  if (!found) return "";
  const words = {
    psnr: (value) => `PSNR ${value.toFixed(1)} dB`,
    coverage: (value) => `90 % coverage ${percent(value)}`,
    misfit: (value) => `misfit ${value.toFixed(2)} σ`,
    effective_samples: (value) => `${Math.round(value).toLocaleString("en")} effective samples`,
    calls: (value) => `${Math.round(value).toLocaleString("en")} network calls`,
  };
  return Object.keys(words).filter((key) => typeof found[key] === "number").map((key) => words[key](found[key])).join(" · ");
}

const level = (name) => make("span", { class: `level ${LEVELS[name] ?? ""}` }, name);

// What was found, in words, and what to do
function finding(method) {
  if (method.error) return make("div", { class: "finding grave" }, `It failed: ${method.error}`);
  const verdict = method.verdict;
  if (!verdict?.findings.length) return "";
  const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
  const grave = verdict.level === "not the posterior" ? " grave" : "";
  const box = make("div", { class: `finding${grave}` }, make("p", {}, verdict.findings.map(sentence).join(" ")));
  if (verdict.remedy) box.append(make("p", {}, make("b", {}, "What to do: "), sentence(verdict.remedy)));
  return box;
}

function head(method) {
  const name = method.error ? "failed" : method.verdict?.level;
  return make("div", { class: "head" }, make("h3", {}, method.name), name ? level(name) : "", make("span", { class: "numbers" }, qualities(method.quality)));
}
