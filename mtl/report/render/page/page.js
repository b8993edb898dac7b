"use strict";
// Sorting, filtering, and folding of what the page already shows. Without this script the tables are plain.

const NARROW = window.matchMedia("(max-width: 70rem)");
const FILTER_FROM = 6; // rows: fewer are seen at a glance
const WORDS = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** What a row sorts by in a column: its number, its text, or null where that is unknown. */
function sortValue(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.number !== undefined) {
    const value = Number(cell.dataset.number);
    return Number.isNaN(value) ? null : value;
  }
  const text = (cell.dataset.text ?? cell.textContent).trim().slice(0, 500);
  return cell.dataset.missing !== undefined || text === "" ? null : text;
}

/** Numbers in front of words, numbers by size, words as people sort them (2 before 10). */
function compare(a, b) {
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return typeof a === "number" ? a - b : WORDS.compare(a, b);
}

/** Rows in order of a column; unknown values stay last, and equal ones keep the report's order. */
function sorted(rows, column, sign) {
  const keyed = rows.map((row) => ({ row, value: sortValue(row, column) }));
  keyed.sort((a, b) => {
    if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
    return sign * compare(a.value, b.value);
  });
  return keyed.map((entry) => entry.row);
}

/** Make the headers buttons: first ascending, then descending, then the report's own order again. */
function makeSortable(table) {
  const body = table.tBodies[0];
  const original = Array.from(body.rows);
  const headers = Array.from(table.tHead.rows[0].cells);
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[header.getAttribute("aria-sort")];
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      if (next === null) {
        body.append(...original);
      } else {
        header.setAttribute("aria-sort", next ?? "ascending");
        body.append(...sorted(original, column, next === "descending" ? -1 : 1));
      }
    });
  });
}

/** A field, put at the end of `place`, that leaves only the rows (or items) that contain every word typed. */
function makeFilter(place, items, label) {
  if (items.length < FILTER_FROM) return;
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = "Filter";
  field.setAttribute("aria-label", `Filter: ${label}`);
  const count = document.createElement("output");
  const bar = document.createElement("div");
  bar.className = "filter";
  bar.append(field, count);
  place.append(bar);
  let texts = null;
  field.addEventListener("input", () => {
    texts ??= items.map((item) => item.textContent.toLowerCase());
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    items.forEach((item, at) => {
      item.hidden = !words.every((word) => texts[at].includes(word));
      shown += item.hidden ? 0 : 1;
    });
    count.textContent = words.length ? `${shown} of ${items.length}` : "";
  });
}

/** Unfold the section that the address names. */
function unfold() {
  const details = document.querySelector("section:target > details");
  if (details) details.open = true;
}

/** Mark the section under the reader's eyes in the table of contents. */
function followReading(links) {
  const visible = new Set();
  const watch = new IntersectionObserver((entries) => {
    entries.forEach((entry) => (entry.isIntersecting ? visible.add(entry.target.id) : visible.delete(entry.target.id)));
    const current = links.find((link) => visible.has(link.hash.slice(1)));
    links.forEach((link) => link.removeAttribute("aria-current"));
    current?.setAttribute("aria-current", "true");
  }, { rootMargin: "-5% 0px -60% 0px" });
  document.querySelectorAll("main > section[id]").forEach((section) => watch.observe(section));
}

document.querySelectorAll(".table, .shown").forEach((block) => {
  const table = block.querySelector("table");
  if (table) makeSortable(table);
  const items = Array.from(table ? table.tBodies[0].rows : block.querySelector(".examples").children);
  makeFilter(block.querySelector(".above"), items, block.querySelector("[aria-label]").getAttribute("aria-label"));
});

const contents = document.querySelector("nav details");
const fold = () => (contents.open = !NARROW.matches);
NARROW.addEventListener("change", fold);
fold();
contents.addEventListener("click", (event) => {
  if (NARROW.matches && event.target.closest("a")) contents.open = false;
});
followReading(Array.from(contents.querySelectorAll("a")));

window.addEventListener("hashchange", unfold);
window.addEventListener("load", unfold);

// Paper shows everything.
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = Array.from(document.querySelectorAll("details:not([open])"));
  folded.forEach((details) => (details.open = true));
});
window.addEventListener("afterprint", () => folded.forEach((details) => (details.open = false)));
