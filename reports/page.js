"use strict";
// Comforts only: without this script every table, picture and explanation is still there.

function each(selector, action, root) {
  (root || document).querySelectorAll(selector).forEach(action);
}

function sortKey(row, column) {
  const cell = row.cells[column];
  if (!cell) return "";
  const number = Number(cell.dataset.value ?? cell.textContent.replace(/,/g, "").trim() ?? NaN);
  return cell.textContent.trim() === "" || Number.isNaN(number) ? cell.textContent.trim() : number;
}

const words = new Intl.Collator("en", { numeric: true });

function compare(a, b, sign) {
  if (typeof a === "number" && typeof b === "number") return (a - b) * sign;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1; // what is not a number comes last
  return words.compare(a, b) * sign;
}

function sortBy(head) {
  const table = head.closest("table");
  const down = head.getAttribute("aria-sort") === "ascending";
  each("th[aria-sort]", (other) => other.removeAttribute("aria-sort"), table);
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const keys = new Map(rows.map((row) => [row, sortKey(row, head.cellIndex)]));
  rows.sort((a, b) => compare(keys.get(a), keys.get(b), down ? -1 : 1));
  body.append(...rows);
}

each("th[data-sort]", (head) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  button.addEventListener("click", () => sortBy(head));
  head.append(button);
});

function press(button) {
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  return on;
}

each("[data-toolbar]", (bar) => (bar.hidden = false));
each("[data-contour]", (button) =>
  button.addEventListener("click", () => document.body.classList.toggle("bare", !press(button))));
each("[data-names]", (button) =>
  button.addEventListener("click", () => document.body.classList.toggle("names", press(button))));
each("[data-open]", (button) =>
  button.addEventListener("click", () =>
    each("details.case", (part) => (part.open = button.dataset.open === "true"))));

function openTarget() {
  const target = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
  if (!(target instanceof HTMLDetailsElement)) return;
  target.open = true;
  target.querySelector("summary").focus({ preventScroll: true });
  target.scrollIntoView();
}
window.addEventListener("hashchange", openTarget);
each("a[href^='#']", (link) => // a second time too, when the address stays what it is
  link.addEventListener("click", () => link.hash === location.hash && openTarget()));

const links = new Map();
each(".contents a", (link) => links.set(link.getAttribute("href").slice(1), link));
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    links.forEach((link) => link.removeAttribute("aria-current"));
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-10% 0px -80% 0px" });
each("main > section", (section) => watcher.observe(section));
