// Charts answer a pointer, a finger and the arrow keys with the nearest of their values, and give their data and picture.
(() => {
  "use strict";
  const REACH = 28; // pixels
  const tip = Object.assign(document.createElement("div"), { className: "tip", role: "status", hidden: true });
  document.body.append(tip);
  let told = null;

  const tell = (mark) => {
    if (mark === told) return;
    told?.classList.remove("told");
    told = mark;
    tip.hidden = !mark;
    if (!mark) return;
    mark.classList.add("told");
    tip.textContent = mark.dataset.tip;
    const at = mark.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = at.left + at.width / 2 - own.width / 2, above = at.top - own.height - 8;
    tip.style.left = `${Math.max(4, Math.min(left, document.documentElement.clientWidth - own.width - 4))}px`;
    tip.style.top = `${above > 4 ? above : at.bottom + 8}px`;
  };

  const marksOf = (drawing) => [...drawing.querySelectorAll("[data-tip]")];

  const nearest = (marks, x, y) => {
    let [least, found] = [REACH, null];
    for (const mark of marks) {
      const box = mark.getBoundingClientRect();
      const outside = Math.hypot(Math.max(box.left - x, x - box.right, 0), Math.max(box.top - y, y - box.bottom, 0));
      // Of several that are hit, the one whose middle is nearest.
      const away = outside + Math.hypot((box.left + box.right) / 2 - x, (box.top + box.bottom) / 2 - y) / 100;
      if (away < least) [least, found] = [away, mark];
    }
    return found;
  };

  const give = (download, type, content) => {
    const href = URL.createObjectURL(new Blob([content], { type }));
    Object.assign(document.createElement("a"), { href, download }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  };

  const quoted = (value) => (typeof value === "string" ? `"${value.replaceAll('"', '""')}"` : (value ?? ""));
  const csv = ({ columns, rows }) => [columns, ...rows].map((row) => row.map(quoted).join(",") + "\r\n").join("");

  // Panels and legend in one drawing, as they stand on the page.
  const picture = (drawing) => {
    const whole = drawing.getBoundingClientRect();
    const make = (tag, given) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(given)) made.setAttribute(name, value);
      return made;
    };
    const all = make("svg", { viewBox: `0 0 ${whole.width} ${whole.height}`, "font-family": "'DejaVu Sans', Verdana, sans-serif" });
    for (const part of drawing.querySelectorAll("svg, .legend span")) {
      const { left, top, bottom, width, height } = part.getBoundingClientRect();
      const place = { x: left - whole.left, y: top - whole.top, width, height };
      const copy = part.localName === "svg" ? part.cloneNode(true) : make("text", { "font-size": 13 });
      for (const [name, value] of Object.entries(place)) copy.setAttribute(name, value);
      if (part.localName !== "svg") Object.assign(copy, { textContent: part.textContent }).setAttribute("y", bottom - whole.top - 5);
      copy.querySelector(".tips")?.remove();
      all.append(copy);
    }
    // Colours of the page are not known elsewhere.
    return new XMLSerializer().serializeToString(all).replaceAll(/var\(--[\w-]+, (#\w+)\)/g, "$1");
  };

  for (const chart of document.querySelectorAll(".chart")) {
    const drawing = chart.querySelector(".drawing");
    const answer = (event) => tell(nearest(marksOf(drawing), event.clientX, event.clientY));
    drawing.tabIndex = 0;
    drawing.addEventListener("pointermove", answer);
    drawing.addEventListener("pointerdown", answer);
    drawing.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && tell(null));
    drawing.addEventListener("blur", () => tell(null));
    drawing.addEventListener("keydown", ({ key }) => key === "Escape" && tell(null));
    drawing.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const marks = marksOf(drawing), place = marks.indexOf(told);
      if (!step || !marks.length) return;
      event.preventDefault();
      tell(marks.at(place < 0 && step < 0 ? -1 : (place + step) % marks.length));
    });
    const { name } = chart.dataset, rows = () => JSON.parse(chart.querySelector("script").textContent);
    const offer = (what, act) => chart.querySelector(`[data-download=${what}]`).addEventListener("click", act);
    offer("csv", () => give(`${name}.csv`, "text/csv", csv(rows())));
    offer("svg", () => give(`${name}.svg`, "image/svg+xml", picture(drawing)));
    chart.querySelector(".downloads").hidden = false;
  }
  addEventListener("scroll", () => tell(null), { passive: true });
  addEventListener("pointerdown", (event) => event.target.closest?.(".drawing") || tell(null));
})();
