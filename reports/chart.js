// One case as a sheet of paper: a button in each case, or the address ?chart#case-1.
const PAPER = { width_px: 718, height_px: 1010 }; // A4 with margins of 10 mm, at 96 px to the inch
const LEAST_ZOOM = 0.5;

function openAll(root) {
  const closed = Array.from(root.querySelectorAll("details:not([open])"));
  closed.forEach((part) => (part.open = true));
  return () => closed.forEach((part) => (part.open = false));
}

function fit(part) {
  // Every waterfall where they fit, else those that stood open.
  const wanted = Array.from(part.querySelectorAll("details"));
  const were = wanted.map((one) => one.open);
  wanted.forEach((one) => (one.open = true));
  const fits = () => document.documentElement.scrollHeight <= PAPER.height_px;
  for (let zoom = 1; zoom >= LEAST_ZOOM && (part.style.zoom = String(zoom), !fits()); zoom -= 0.05);
  if (fits()) return;
  wanted.forEach((one, at) => (one.open = were[at]));
  for (let zoom = 1; zoom >= LEAST_ZOOM && (part.style.zoom = String(zoom), !fits()); zoom -= 0.05);
}

function showChart(part) {
  part.open = true;
  part.classList.add("charted");
  document.body.classList.add("chart");
  each("img[loading]", (image) => (image.loading = "eager"), part);
  fit(part);
}

function leaveChart() {
  each(".charted", (part) => {
    part.classList.remove("charted");
    part.style.zoom = "";
  });
  document.body.classList.remove("chart");
}

each("details.case", (part) => {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "print-case";
  button.textContent = "Print this case";
  button.addEventListener("click", () => {
    showChart(part);
    window.print();
    leaveChart();
  });
  part.append(button);
});

let closeAgain = () => {};
window.addEventListener("beforeprint", () => {
  if (!document.body.classList.contains("chart")) closeAgain = openAll(document.querySelector("main"));
});
window.addEventListener("afterprint", () => closeAgain());

openTarget();
window.addEventListener("load", () => setTimeout(openTarget)); // a browser that goes to the place takes the focus
if (location.search === "?chart" && location.hash) {
  const part = document.getElementById(location.hash.slice(1));
  if (part instanceof HTMLDetailsElement) showChart(part);
}
