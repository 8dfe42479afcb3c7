// The reader's page of a case: windows, enlarged pictures, and what a feature measures beside its name.

function setWindow(image, low, high) {
  // brightness(b) then contrast(c) takes low to black and high to white.
  const slope = 1 / (high - low);
  const contrast = 1 + 2 * low * slope;
  const inverted = document.body.classList.contains("inverted") ? " invert(1)" : "";
  const plain = low === 0 && high === 1 ? "" : `brightness(${slope / contrast}) contrast(${contrast})`;
  image.style.filter = `${plain}${inverted}`.trim();
}

function windowOf(image) {
  const chosen = document.querySelector("[data-window]")?.value;
  if (chosen === "lesion" && image.dataset.lesion) return image.dataset.lesion.split(" ").map(Number);
  return chosen === "soft" ? [-0.3, 1.3] : [0, 1];
}

function windowAll() {
  each(".crop img", (image) => setWindow(image, ...windowOf(image)));
}

each("[data-window]", (select) => select.addEventListener("change", windowAll));
each("[data-invert]", (button) =>
  button.addEventListener("click", () => {
    document.body.classList.toggle("inverted", press(button));
    windowAll();
  }));

function isTyping(target) {
  return target instanceof HTMLElement && target.matches("input, select, textarea");
}

each("[data-contour]", (button) =>
  button.addEventListener("click", () =>
    each("[data-contour]", (other) => other.setAttribute("aria-pressed", button.getAttribute("aria-pressed")))));
document.addEventListener("keydown", (event) => {
  if (event.key !== "c" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  document.querySelector("[data-contour]")?.click();
});

const viewer = document.querySelector("[data-viewer]");

function part(selector) {
  return viewer.querySelector(selector);
}

function zoomTo(zoom) {
  viewer.dataset.zoomed = String(Math.min(Math.max(zoom, 0.5), 12));
  const pans = [...viewer.querySelectorAll(".viewer-pan")];
  const places = pans.map((pan) => [
    (pan.scrollLeft + pan.clientWidth / 2) / pan.scrollWidth, (pan.scrollTop + pan.clientHeight / 2) / pan.scrollHeight]);
  viewer.style.setProperty("--zoom", viewer.dataset.zoomed);
  pans.forEach((pan, i) => {
    pan.scrollLeft = places[i][0] * pan.scrollWidth - pan.clientWidth / 2;
    pan.scrollTop = places[i][1] * pan.scrollHeight - pan.clientHeight / 2;
  });
}

function windowViewer() {
  const level = Number(part("[data-level]").value);
  const width = Number(part("[data-width]").value);
  each("img", (image) => setWindow(image, level - width / 2, level + width / 2), viewer);
}

function resetViewer() {
  part("[data-level]").value = "0.5";
  part("[data-width]").value = "1";
  zoomTo(1);
  each("img", (image) => setWindow(image, ...windowOf(image)), viewer);
}

function together(pans) {
  let busy = false; // a pan that was moved for another does not move it back
  for (const pan of pans) {
    pan.addEventListener("scroll", () => {
      if (busy) return;
      busy = true;
      for (const other of pans) {
        if (other === pan) continue;
        other.scrollLeft = pan.scrollLeft;
        other.scrollTop = pan.scrollTop;
      }
      requestAnimationFrame(() => (busy = false));
    });
  }
}

function enlarge(view) {
  const films = part("[data-films]");
  films.replaceChildren();
  const pans = [];
  for (const tile of view.querySelectorAll(".tile")) {
    const crop = tile.querySelector(".crop");
    if (!crop) continue;
    const film = document.createElement("div");
    film.className = "viewer-film";
    const title = document.createElement("p");
    title.textContent = [...tile.querySelectorAll(".mark")].map((mark) => mark.textContent).join(" ");
    const pan = document.createElement("div");
    pan.className = "viewer-pan";
    pan.tabIndex = 0;
    pan.setAttribute("role", "region");
    pan.setAttribute("aria-label", `${title.textContent}, arrow keys move it`);
    const copy = crop.cloneNode(true);
    copy.style.width = "";
    pan.append(copy);
    film.append(title, pan);
    films.append(film);
    pans.push(pan);
  }
  part("[data-viewer-title]").textContent = view.closest(".case").querySelector(".case-id").textContent;
  viewer.showModal();
  const side = Math.min(...pans.map((pan) => Math.min(pan.clientWidth, pan.clientHeight)));
  viewer.style.setProperty("--fit", `${side}px`);
  together(pans);
  resetViewer();
}

if (viewer) {
  each("[data-enlarge]", (button) => {
    button.hidden = false;
    button.addEventListener("click", () => enlarge(button.closest(".view")));
  });
  each("[data-zoom]", (button) =>
    button.addEventListener("click", () => zoomTo(Number(viewer.dataset.zoomed) * Number(button.dataset.zoom))), viewer);
  each("[data-level], [data-width]", (input) => input.addEventListener("input", windowViewer), viewer);
  part("[data-reset]").addEventListener("click", resetViewer);
  part("[data-close]").addEventListener("click", () => viewer.close());
  viewer.addEventListener("keydown", (event) => {
    if (isTyping(event.target)) return;
    if (event.key === "+" || event.key === "=") zoomTo(Number(viewer.dataset.zoomed) * 1.25);
    if (event.key === "-") zoomTo(Number(viewer.dataset.zoomed) * 0.8);
    if (event.key === "0") resetViewer();
  });
}

const tip = document.querySelector("[data-tip]");

function placeTip(link) {
  const at = link.getBoundingClientRect();
  const below = at.bottom + 6;
  const above = Math.max(8, at.top - tip.offsetHeight - 6);
  tip.style.left = `${Math.max(8, Math.min(at.left, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${below + tip.offsetHeight < innerHeight ? below : above}px`;
}

function showTip(link) {
  const anchors = [link.hash.slice(1), ...(link.dataset.also ?? "").split(" ")].filter(Boolean);
  const entries = anchors.map((anchor) => document.getElementById(anchor)).filter(Boolean);
  if (!entries.length) return;
  tip.replaceChildren(...entries.map((entry) => {
    const copy = entry.cloneNode(true);
    copy.removeAttribute("id");
    return copy;
  }));
  tip.showPopover();
  placeTip(link);
  link.setAttribute("aria-describedby", tip.id);
}

if (tip?.showPopover) {
  let shown = null;
  const show = (link) => {
    if (link === shown) return;
    shown?.removeAttribute("aria-describedby");
    tip.hidePopover();
    shown = link;
    if (link) showTip(link);
  };
  const meant = (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (!target?.closest("[data-tip]")) show(target?.closest("a.means") ?? null); // a pointer may rest on the tip
  };
  document.addEventListener("mouseover", meant);
  document.addEventListener("focusin", meant);
  document.addEventListener("scroll", () => shown && placeTip(shown), { passive: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && show(null));
}
