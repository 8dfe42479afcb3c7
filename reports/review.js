"use strict";
// Verdicts are kept in the buttons; the CSV is made from them. Ids come as JSON in ASCII, so nothing of them is lost.

function each(selector, action, root) {
  Array.from((root || document).querySelectorAll(selector)).forEach(action);
}

const cards = Array.from(document.querySelectorAll(".view-card"));
const name = document.body.dataset.csv;
let unsaved = false;

function pressed(root) {
  return root?.querySelector("button[aria-pressed=true]")?.dataset.verdict ?? "";
}

function press(root, verdict) {
  each("button[data-verdict]", (b) => b.setAttribute("aria-pressed", String(b.dataset.verdict === verdict)), root);
}

// As features/cells.py writes it: no cell is a formula to a spreadsheet.
function guard(text) {
  const isNumber = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text);
  return /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text) && !isNumber ? `'${text}` : text;
}

function cell(said) {
  const text = guard(said);
  return /[",\n\r]/.test(text) || text !== text.trim() ? `"${text.replace(/"/g, '""')}"` : text;
}

function pictureLines(card, part) {
  const whole = part.querySelector("[data-whole]");
  const verdict = pressed(whole);
  const file = verdict === "correct" ? whole.querySelector("[data-file] input").value : "";
  const first = [JSON.parse(card.dataset.key), part.dataset.picture];
  const lines = [[...first, "", verdict, file, whole.querySelector("[data-comment] input").value, part.dataset.drawing]];
  each("tr[data-region]", (row) =>
    lines.push([...first, row.dataset.region, pressed(row), "", row.dataset.comment, part.dataset.drawing]), part);
  return lines;
}

const order = cards.slice();

function csv() {
  const lines = [["case_id", "picture", "region", "verdict", "file", "comment", "drawing"]];
  order.forEach((card) =>
    each("[data-judged]", (part) => lines.push(...pictureLines(card, part)), card));
  return lines.map((line) => line.map(cell).join(",")).join("\n") + "\n" + JSON.parse(document.body.dataset.kept);
}

function isJudged(card) {
  const parts = Array.from(card.querySelectorAll("[data-judged]"));
  return parts.every((part) => Array.from(part.querySelectorAll("button[aria-pressed=true]")).length > 0);
}

function refresh() {
  each("[data-judged]", (part) => {
    const whole = part.querySelector("[data-whole]");
    const verdict = pressed(whole);
    whole.querySelector("[data-file]").hidden = verdict !== "correct";
    part.dataset.verdict = verdict;
    each("tr[data-region]", (row) => {
      const line = part.querySelector(`g[data-outline="${row.dataset.region}"]`);
      const said = pressed(row) || (verdict === "reject" ? "reject" : "");
      if (line) line.dataset.verdict = said;
      each("button", (b) => (b.disabled = verdict === "correct"), row);
    }, part);
  });
  const n = cards.filter(isJudged).length;
  document.querySelector("[data-count]").textContent = `${n} of ${cards.length} views judged${unsaved ? ", not saved" : ""}`;
  document.querySelector("[data-text]").value = csv();
}

function judge(part, button) {
  const row = button.closest("tr[data-region]");
  const root = row || part.querySelector("[data-whole]");
  const again = button.getAttribute("aria-pressed") === "true";
  press(root, again ? "" : button.dataset.verdict);
  // A corrected mask stands for the whole picture: verdicts on its regions would contradict it.
  if (!row && pressed(root) === "correct") each("tr[data-region]", (other) => press(other, ""), part);
  unsaved = true;
  refresh();
}

each("[data-judged]", (part) => {
  each("button[data-verdict]", (button) => button.addEventListener("click", () => judge(part, button)), part);
  each("input", (input) => input.addEventListener("input", () => { unsaved = true; refresh(); }), part);
});

function show() {
  const kind = document.querySelector("[data-filter]").value;
  let n = 0;
  cards.forEach((card) => {
    const fits = !kind || (kind === "open" ? !isJudged(card) : card.dataset.kinds.split(" ").includes(kind));
    card.hidden = !fits;
    n += fits;
  });
  document.querySelector("[data-nothing]").hidden = n > 0 || cards.length === 0;
}

function sort() {
  const way = document.querySelector("[data-sort-by]").value;
  const score = (card) => (card.dataset.score === "" ? -1 : Number(card.dataset.score));
  const sorted = order.slice();
  if (way !== "order") sorted.sort((a, b) => (score(a) - score(b)) * (way === "up" ? 1 : -1));
  const after = document.querySelector("[data-nothing]");
  sorted.forEach((card) => after.before(card));
}

function toggleOutlines() {
  const button = document.querySelector("[data-outlines]");
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  document.body.classList.toggle("bare", !on);
}

document.querySelector("[data-filter]").addEventListener("change", show);
document.querySelector("[data-sort-by]").addEventListener("change", sort);
document.querySelector("[data-outlines]").addEventListener("click", toggleOutlines);

function saved() {
  unsaved = false;
  refresh();
}

document.querySelector("[data-save]").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  saved();
});

document.querySelector("[data-copy]").addEventListener("click", () => {
  const text = document.querySelector("[data-text]");
  text.select();
  if (navigator.clipboard) navigator.clipboard.writeText(csv()).then(saved, () => document.execCommand("copy"));
  else if (document.execCommand("copy")) saved();
});

function move(step) {
  const shown = Array.from(document.querySelectorAll(".view-card:not([hidden])"));
  const at = shown.indexOf(document.activeElement?.closest(".view-card"));
  const next = shown[at < 0 ? 0 : Math.min(Math.max(at + step, 0), shown.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "start" });
}

function judgeCard(verdict) {
  const card = document.activeElement?.closest(".view-card");
  if (!card) return;
  each("[data-judged]", (part) => {
    const whole = part.querySelector("[data-whole]");
    if (verdict === "" || whole.querySelector(`button[data-verdict="${verdict}"]`)) press(whole, verdict);
    if (verdict === "") each("tr[data-region]", (row) => press(row, ""), part);
  }, card);
  unsaved = true;
  refresh();
}

const keys = {
  j: () => move(1), k: () => move(-1), o: toggleOutlines,
  a: () => judgeCard("accept"), r: () => judgeCard("reject"), u: () => judgeCard(""),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  const action = keys[event.key];
  if (action) { action(); event.preventDefault(); }
});
window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });

each("[data-toolbar], [data-help]", (part) => (part.hidden = false));
refresh();
