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
      const quote = (text) => '"' + text.trim().replaceAll('"', '""') + '"';
      const row = (name, cells) => [name, ...[...cells].map((cell) => cell.textContent)].map(quote).join(",");
      const table = details.querySelector("table");
      const lines = [row("series", table.tHead.rows[0].cells)];
      for (const { rows: [head, ...rows] } of table.tBodies) for (const one of rows) lines.push(row(head.textContent, one.cells));
      const file = document.createElement("a");
      file.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
      file.download = details.closest("figure").id + ".csv";
      file.click();
      URL.revokeObjectURL(file.href);
    };
    details.querySelector("summary").after(link);
  }

  // What-ifs: a form is answered by the function of its id, from its inputs' numbers and its part
  // of the embedded data. At the printed values the printed words stay. State: #anchor?name=value
  const given = JSON.parse(document.getElementById("data").textContent).what_if || {};
  const show = (x) => x.toLocaleString("en", { maximumSignificantDigits: 3 });
  const held = {};  // what one answer passes to the next
  const answers = {
    "my-slo": (at, d, form, isDefault) => {
      const scope = d.scopes[at.scope || 0];
      for (const name of ["ttft", "tpot"]) form[name].dataset.stops = scope[name].join("|");
      const rows = scope.rates.map((r) => {
        let i = 24 * at.ttft + at.tpot, k = 0;
        while ((i -= r.runs[k + 1]) >= 0) k += 2;
        const [stands, text] = r.cells[r.runs[k]];
        return { rate: r.rate, stands, text: `${show(r.rate)} req/s (${text})` };
      });
      const holds = rows.filter((r) => r.stands === "h"), misses = rows.filter((r) => r.stands === "m");
      const low = holds.filter((r) => !misses[0] || r.rate < misses[0].rate).pop(), last = holds.pop();
      const high = misses.find((r) => !last || r.rate > last.rate);
      held.low = isDefault ? d.low : low?.rate;
      if (low) return `Sustains ${low.text}, ${high ? `not ${high.text}` : "the highest rate that surely holds; none surely misses"}.`;
      return high ? `Not measured: no rate surely holds, ${high.text} surely misses.` : "Not measured: no rate had requests enough.";
    },
    "my-rate": (at) => {
      if (!held.low) return "Not measured: no rate surely holds these limits.";
      const need = Math.ceil(at.rate / held.low - 1e-9), all = need + at.spare;
      return `${show(at.rate)} req/s needs ${all} replica${all === 1 ? "" : "s"}: ${need} at the lower bound of ${show(held.low)} req/s each, ${at.spare} spare.`;
    },
  };
  answers["my-prices"] = (at, d) =>
    [d.crossing[d.crossing.length === d.stops ** 2 ? d.stops * at.gpu + at.tok : d.stops - 1 + at.gpu - at.tok],
      d.saving?.[d.stops * at.gpu + at.tok]].filter(Boolean).join(" ");
  const forms = [...document.querySelectorAll("form.what-if")].filter((form) => answers[form.id]);
  const fields = forms.flatMap((form) => [...form.elements].filter((e) => e.name).map((e) => {
    e.printed = e.value;
    return e;
  }));
  const answer = () => {
    let isDefault = true;  // an answer may rest on the one before
    for (const form of forms) {
      const own = fields.filter((e) => e.form === form);
      isDefault = isDefault && own.every((e) => e.value === e.printed);
      const output = form.querySelector("output");
      output.printed ??= output.textContent;
      const at = Object.fromEntries(own.map((e) => [e.name, Math.max(0, Number(e.value) || 0)]));
      const text = answers[form.id](at, given[form.id], form, isDefault);
      output.textContent = isDefault ? output.printed : text;
      for (const e of own) if (e.dataset.stops) {
        const stop = e.dataset.stops.split("|")[e.value];
        e.previousElementSibling.textContent = stop;
        e.setAttribute("aria-valuetext", stop);
      }
    }
  };
  const parts = () => location.hash.slice(1).split("?");
  const restore = () => {
    const state = new URLSearchParams(parts()[1]);
    for (const e of fields) if (state.has(e.name)) e.value = state.get(e.name);
    answer();
  };
  const moved = (event) => {
    answer();
    const state = new URLSearchParams(fields.filter((e) => e.value !== e.printed).map((e) => [e.name, e.value]));
    history.replaceState(null, "", "#" + event.target.closest("form").id + (`${state}` && "?" + state));
  };
  for (const form of forms) {
    form.querySelector(".inputs").hidden = false;
    form.oninput = moved;
    form.onsubmit = (event) => event.preventDefault();
    form.onreset = (event) => setTimeout(() => moved(event));
  }
  if (forms.length) restore();

  // A link to what lies behind a disclosure opens it.
  const reveal = () => {
    const target = parts()[0] && document.getElementById(decodeURIComponent(parts()[0]));
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not(.data)")) details.open = true;
  });
})();
