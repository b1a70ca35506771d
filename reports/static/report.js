"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const now = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const label = () => { button.textContent = now() === "dark" ? "light" : "dark"; };
  button.hidden = false;
  button.onclick = () => { root.dataset.theme = now() === "dark" ? "light" : "dark"; label(); };
  dark.addEventListener("change", label);
  label();

  // Sort: numbers by their raw value, words by text; a second press reverses.
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    if (body.rows.length < 3) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const press = document.createElement("button");
      press.type = "button";
      press.textContent = head.textContent;
      head.replaceChildren(press);
      press.onclick = () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const key = (row) => {
          const cell = row.cells[column];
          return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
        };
        const own = [...body.rows].filter((row) => !row.classList.contains("detail"));
        // a row's line of detail moves along with it
        const after = new Map(own.map((row) => [row, row.nextElementSibling]));
        const rows = own.sort((a, b) => {
          const x = key(a), y = key(b);
          const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
          return up ? order : -order;
        });
        for (const row of rows) {
          const detail = after.get(row);
          body.append(row, ...(detail?.classList.contains("detail") ? [detail] : []));
        }
      };
    });
  }

  // CSV of a chart's data, made from its own table.
  for (const details of document.querySelectorAll("details.data")) {
    const link = document.createElement("a");
    link.href = "#";
    link.textContent = "CSV";
    link.onclick = (event) => {
      event.preventDefault();
      const quote = (cell) => '"' + cell.textContent.replaceAll('"', '""') + '"';
      const lines = [...details.querySelectorAll("tr")].map((row) => [...row.cells].map(quote).join(","));
      const file = document.createElement("a");
      file.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
      file.download = details.closest("figure").id + ".csv";
      file.click();
      URL.revokeObjectURL(file.href);
    };
    details.querySelector("summary").after(link);
  }

  // A link to what lies behind a disclosure opens it.
  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not(.data)")) details.open = true;
  });
})();
