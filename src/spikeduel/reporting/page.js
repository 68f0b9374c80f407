// What makes report.html answer a click: tables that sort, test pictures behind a number, definitions on hover.
// Without it the page is complete, but for pictures that stand behind a cell alone.
(() => {
  "use strict";
  const make = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };

  // ---- tables: a button in each head of a table with the class "sortable"
  const SIZES = { p: 1e-12, n: 1e-9, "µ": 1e-6, m: 1e-3, k: 1e3, M: 1e6, G: 1e9 };
  const TIMES = { ms: 1e-3, s: 1, min: 60, h: 3600 };
  const amount = (text) => {
    const found = /^[<≈]?\s*([−-]?[+]?[\d,]*\.?\d+)/.exec(text.trim());
    if (!found) return null;
    const number = Number(found[1].replace("−", "-").replace(/[,+]/g, ""));
    const unit = (/[\d.]\s*([a-zA-Zµ]+)\s*$/.exec(text.trim().replace(/[±(].*$/, "").trim()) || [])[1] || "";
    if (unit in TIMES) return number * TIMES[unit];
    return number * (unit === "" ? 1 : SIZES[unit[0]] || 1);
  };
  const compare = (a, b) => {
    const [x, y] = [amount(a), amount(b)];
    if (x !== null && y !== null) return x - y;
    if (x !== null || y !== null) return x !== null ? -1 : 1; // numbers before words
    return a.localeCompare(b);
  };
  const sort = (head, column) => {
    const table = head.closest("table");
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    const text = (row) => row.cells[Math.min(column, row.cells.length - 1)].innerText;
    rows.sort((a, b) => (down ? compare(text(b), text(a)) : compare(text(a), text(b))));
    table.tBodies[0].append(...rows);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const words = [...head.childNodes].filter((node) => !(node.matches && node.matches(".define")));
      if (!head.innerText.trim()) return;
      const button = make("button", { type: "button", class: "sort" }, ...words);
      button.addEventListener("click", () => sort(head, column));
      head.prepend(button);
    });
  }

  // ---- pictures: a number of a contender's classes, and whatever has data-places, opens its pictures
  const source = document.getElementById("pictures-data");
  const data = source ? JSON.parse(source.textContent) : null;
  const thumb = (place) => {
    const made = make("span", { class: "thumb", role: "img", "aria-label": data.images[place].name });
    const [column, row] = [place % data.columns, Math.floor(place / data.columns)];
    made.style.setProperty("--column", column);
    made.style.setProperty("--row", row);
    return made;
  };
  const entry = (place) => {
    const { name, truth, predictions } = data.images[place];
    const lines = predictions.map(({ contender, predicted, right }) =>
      make("div", { class: right ? "right" : "wrong" }, `${right ? "✓" : "✗"} ${contender}: ${predicted}`));
    return make("li", {}, ...(data.shown ? [thumb(place)] : []), make("b", {}, truth), ...lines, make("div", {}, name));
  };
  const show = (holder) => {
    const dialog = document.getElementById("pictures");
    const places = holder.dataset.places.split(" ").filter(Boolean).map(Number);
    const total = Number(holder.dataset.total);
    dialog.querySelector("h2").textContent = holder.dataset.title;
    const rest = total - places.length;
    dialog.querySelector("p").textContent = places.length
      ? `${places.length} of ${total}${rest ? ` (${rest} not shown)` : ""}, the worst first. Bold: the true class.`
      : `${total} in all; none of them is among the pictures of this page.`;
    dialog.querySelector("ul").replaceChildren(...places.map(entry));
    dialog.showModal();
  };
  if (data) {
    for (const cell of document.querySelectorAll("[data-cell]")) {
      const group = (data.groups[cell.dataset.contender] || {})[cell.dataset.cell];
      if (group) [cell.dataset.places, cell.dataset.total] = [group[0].join(" "), group[1]];
    }
    for (const holder of document.querySelectorAll("[data-places]")) {
      let button = holder;
      if (holder.tagName !== "BUTTON") {
        button = make("button", { type: "button", "aria-label": `${holder.dataset.title}: ${holder.innerText}` });
        button.append(...holder.childNodes);
        holder.append(button);
      }
      button.hidden = false;
      button.addEventListener("click", () => show(holder));
    }
    const dialog = document.getElementById("pictures");
    dialog.querySelector("button").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  // ---- definitions: the browser opens them on a tap or a key; here also under a pointer, and beside their word
  for (const button of document.querySelectorAll("[popovertarget]")) {
    const box = document.getElementById(button.getAttribute("popovertarget"));
    const beside = () => {
      const place = button.getBoundingClientRect();
      box.style.margin = "0";
      box.style.left = `${Math.max(8, Math.min(place.left, innerWidth - box.offsetWidth - 8))}px`;
      const below = place.bottom + 6;
      box.style.top = `${below + box.offsetHeight > innerHeight ? Math.max(8, place.top - box.offsetHeight - 6) : below}px`;
    };
    let last = "";
    button.addEventListener("pointerenter", (event) => {
      last = event.pointerType;
      if (last === "mouse" && !box.matches(":popover-open")) { box.showPopover(); beside(); }
    });
    button.addEventListener("pointerleave", () => last === "mouse" && box.matches(":popover-open") && box.hidePopover());
    button.addEventListener("click", (event) => {
      event.preventDefault(); // the browser's own would close what the pointer has opened
      if (event.detail && last === "mouse") return;
      box.togglePopover();
      if (box.matches(":popover-open")) beside();
    });
  }

  // ---- a link into a fold opens it; the contents say where one is
  const open = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    const fold = target && target.querySelector(":scope > details.whole");
    if (fold) fold.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  const phone = matchMedia("(max-width: 860px)");
  for (const a of links.values()) {
    a.addEventListener("click", () => { if (phone.matches) a.closest("details").open = false; });
  }
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      for (const a of links.values()) a.removeAttribute("aria-current");
      links.get(target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "0px 0px -75% 0px" });
  for (const section of document.querySelectorAll("main > section[id]")) seen.observe(section);
})();
