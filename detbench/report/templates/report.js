"use strict";
(() => {
  const facts = JSON.parse(document.getElementById("page_facts").textContent);
  const dialog = document.getElementById("page_provenance");

  // --- sorting: a click sorts up, the next one down, the third puts the table's order back ---
  const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

  function value(row, index) {
    const cell = row.cells[index];
    if ("value" in cell.dataset) return Number(cell.dataset.value);
    const text = cell.textContent.trim();
    return cell.classList.contains("number") || text === "" ? null : text;
  }

  function compare(a, b, sign) {
    // Blanks come last, whichever way.
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    return sign * String(a).localeCompare(String(b), "en", { numeric: true });
  }

  function sort(table, header) {
    const order = NEXT[header.getAttribute("aria-sort")];
    for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", order);
    table.classList.toggle("sorted", order !== "none");
    const body = table.tBodies[0];
    const rows = table.rowsAsPrinted.slice();
    if (order !== "none") {
      const index = header.cellIndex;
      rows.sort((a, b) => compare(value(a, index), value(b, index), order === "ascending" ? 1 : -1));
    }
    body.append(...rows);
    rove(table);
  }

  // --- filtering: words of the row, or a column's key and a number ---
  const CONDITION = /^([^<>=]+)(<=|>=|<|>|=)(-?\d+(?:\.\d+)?)$/;
  const HOLDS = {
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
    "=": (a, b) => Math.abs(a - b) < 1e-9,
  };

  function names(table) {
    return [...table.querySelectorAll("th[data-key]")].map((th) => th.dataset.key);
  }

  function unknown(table, text) {
    const keys = names(table).map((name) => name.toLowerCase());
    const asked = text.split(/\s+/).map((word) => CONDITION.exec(word)).filter(Boolean).map((parts) => parts[1]);
    return asked.filter((name) => !keys.includes(name.toLowerCase()));
  }

  function conditions(table, text) {
    const keys = names(table).map((name) => name.toLowerCase());
    return text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
      const parts = CONDITION.exec(word);
      const index = parts ? keys.indexOf(parts[1]) : -1;
      if (index < 0) return (row) => row.textContent.toLowerCase().includes(word);
      return (row) => {
        const found = value(row, index);
        return found !== null && HOLDS[parts[2]](Number(found), Number(parts[3]));
      };
    });
  }

  function filter(section, table, text) {
    const wanted = conditions(table, text);
    let count = 0;
    for (const row of table.rowsAsPrinted) {
      row.hidden = !wanted.every((holds) => holds(row));
      count += !row.hidden;
    }
    const all = table.rowsAsPrinted.length;
    section.querySelector(".count").textContent = count === all ? `${all} rows` : `${count} of ${all} rows`;
    section.querySelector(".none").hidden = count > 0;
    const strange = unknown(table, text), said = section.querySelector(".unknown");
    said.hidden = strange.length === 0;
    said.textContent = strange.length
      ? `No column is called ${strange.join(" or ")}; there are ${names(table).join(", ")}.` : "";
    rove(table);
  }

  // --- numbers: one stop for the Tab key per table, arrows move among them ---
  function rows(table) {
    return [...table.tBodies[0].rows].filter((row) => !row.hidden);
  }

  function rove(table) {
    const buttons = [...table.querySelectorAll("button.number")];
    for (const button of buttons) button.tabIndex = -1;
    const first = rows(table).map((row) => row.querySelector("button.number")).find(Boolean);
    if (first) first.tabIndex = 0;
  }

  function move(table, button, key) {
    const lines = rows(table);
    const row = button.closest("tr");
    const cell = button.closest("td, th");
    const grid = lines.map((line) => [...line.querySelectorAll("button.number")]);
    const i = lines.indexOf(row);
    const j = grid[i].indexOf(button);
    const near = (line) => line.cells[cell.cellIndex].querySelector("button.number");
    let next = null;
    if (key === "ArrowRight") next = grid[i][j + 1];
    if (key === "ArrowLeft") next = grid[i][j - 1];
    if (key === "Home") next = grid[i][0];
    if (key === "End") next = grid[i][grid[i].length - 1];
    if (key === "ArrowDown") next = lines.slice(i + 1).map(near).find(Boolean);
    if (key === "ArrowUp") next = lines.slice(0, i).reverse().map(near).find(Boolean);
    if (!next) return false;
    button.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    return true;
  }

  // --- provenance ---
  function add(parent, name, text) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  // Parts that many cells share are stored once: {"$": 7} stands for the one at index 7.
  function whole(found) {
    if (Array.isArray(found)) return found.map(whole);
    if (found === null || found === undefined || typeof found !== "object") return found;
    if ("$" in found) return whole(facts.shared[found.$]);
    return Object.fromEntries(Object.entries(found).map(([key, item]) => [key, whole(item)]));
  }

  function list(parent, pairs) {
    const dl = add(parent, "dl");
    for (const [name, text] of pairs) {
      if (text === null || text === undefined || text === "") continue;
      add(dl, "dt", name);
      add(dl, "dd", typeof text === "object" ? JSON.stringify(text) : String(text));
    }
  }

  function json(parent, title, content, open) {
    const details = add(parent, "details");
    details.open = open;
    add(details, "summary", title);
    add(details, "pre", JSON.stringify(content, null, 2));
  }

  function cell(parent, digest, metric, whose) {
    const found = facts.cells[digest];
    if (!found) {
      add(parent, "h3", `${whose}: not run`);
      list(parent, [["digest", digest]]);
      return;
    }
    const { recipe, started, ended, ...rest } = whole(found.provenance);
    const number = whole(found.metrics[metric]);
    add(parent, "h3", found.seed === null ? whose : `${whose}, seed ${found.seed}`);
    list(parent, [
      ["value", number && number.value !== null ? `${number.value} ${number.unit}` : null],
      ["status", found.status], ["reason", (number && number.reason) || whole(found.reason)],
      ["digest", digest], ["kind", found.kind], ["seed", found.seed],
      ["git commit", rest.git], ["device", rest.device], ["started", started], ["ended", ended],
      ["versions", ["detbench", "torch", "torchvision", "python"].filter((n) => rest[n]).map((n) => `${n} ${rest[n]}`).join(", ")],
    ]);
    json(parent, "Protocol", (number && number.protocol) || whole(found.protocol), true);
    json(parent, "Provenance", rest, false);
    if (recipe !== undefined) json(parent, "Recipe, resolved", recipe, false);
  }

  function show(button) {
    const info = whole(facts.numbers[Number(button.dataset.info)]);
    const body = document.getElementById("page_provenance_body");
    body.textContent = "";
    document.getElementById("page_provenance_title").textContent = `${info.row} · ${info.column}`;
    list(body, [["shown", info.text || "blank"], ["value", info.value], ["note", info.note], ...Object.entries(info.facts)]);
    for (const digest of info.digests) cell(body, digest, info.metric, info.row);
    for (const digest of info.baseline) cell(body, digest, info.metric, info.facts.baseline);
    dialog.showModal();
    dialog.scrollTop = 0;
  }

  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  // Sections without tools, and tables further down in a section, are to be read alone.
  for (const tools of document.querySelectorAll("section > .tools")) {
    const section = tools.parentElement;
    const table = section.querySelector("table");
    table.rowsAsPrinted = [...table.tBodies[0].rows];
    tools.hidden = false;
    section.querySelector(".filter").addEventListener("input", (event) => filter(section, table, event.target.value));
    table.addEventListener("click", (event) => {
      const sorter = event.target.closest("button.sort");
      const number = event.target.closest("button.number");
      if (sorter) sort(table, sorter.closest("th"));
      if (number) show(number);
    });
    table.addEventListener("keydown", (event) => {
      const number = event.target.closest("button.number");
      if (number && move(table, number, event.key)) event.preventDefault();
    });
    rove(table);
  }
})();
