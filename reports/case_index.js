// The table of all cases: a filter beside its sorting.
each("[data-filter]", (form) => {
  const rows = Array.from(document.getElementById(form.dataset.filter).tBodies[0].rows);
  const told = rows.map((row) => ({
    row,
    text: row.textContent.toLowerCase(),
    name: row.cells[0].textContent,
    outcome: row.cells[row.cells.length - 1].textContent,
  }));
  const text = form.querySelector("[data-text]");
  const endpoint = form.querySelector("[data-endpoint]");
  const boxes = Array.from(form.querySelectorAll("[data-outcome]"));
  const status = form.querySelector("[data-shown]");

  function refresh() {
    const sought = text.value.trim().toLowerCase();
    const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.dataset.outcome));
    const names = new Set();
    let n = 0;
    for (const one of told) {
      const shown = one.text.includes(sought) && wanted.has(one.outcome)
        && (!endpoint || !endpoint.value || one.row.dataset.endpoint === endpoint.value);
      one.row.hidden = !shown;
      if (shown) {
        n += 1;
        names.add(one.name);
      }
    }
    status.textContent = `${n} of ${rows.length} rows shown, of ${names.size} ${names.size === 1 ? "case" : "cases"}`;
  }

  form.addEventListener("input", refresh);
  form.addEventListener("submit", (event) => event.preventDefault());
  refresh();
});
