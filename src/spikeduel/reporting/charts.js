"use strict";
// Charts answer a pointer, a finger and the arrow keys with the nearest of their values, and give what they show.
(() => {
  const REACH = 28; // pixels
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);
  let told = null;

  const hide = () => {
    told?.classList.remove("told");
    told = null;
    tip.hidden = true;
  };

  const tell = (mark) => {
    if (mark === told) return;
    hide();
    told = mark;
    mark.classList.add("told");
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const at = mark.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = at.left + at.width / 2 - own.width / 2;
    const above = at.top - own.height - 8;
    tip.style.left = `${Math.max(4, Math.min(left, document.documentElement.clientWidth - own.width - 4))}px`;
    tip.style.top = `${above > 4 ? above : at.bottom + 8}px`;
  };

  const marksOf = (drawing) => [...drawing.querySelectorAll("[data-tip]")].filter((mark) => mark.getClientRects().length);

  const away = (mark, x, y) => {
    const box = mark.getBoundingClientRect();
    const outside = Math.hypot(Math.max(box.left - x, x - box.right, 0), Math.max(box.top - y, y - box.bottom, 0));
    // Of those that are hit, the smallest and nearest.
    return outside + Math.hypot(box.left + box.width / 2 - x, box.top + box.height / 2 - y) / 100;
  };

  const nearest = (marks, x, y) => {
    const found = marks.map((mark) => [away(mark, x, y), mark]).reduce((a, b) => (b[0] < a[0] ? b : a), [REACH, null]);
    return found[1];
  };

  const give = (name, kind, content) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type: kind }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  const quoted = (value) => (typeof value === "string" ? `"${value.replaceAll('"', '""')}"` : (value ?? ""));
  const csv = ({ columns, rows }) => [columns, ...rows].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";

  const svg = (drawing) => {
    const copy = [...drawing.querySelectorAll("svg")].find((each) => each.getClientRects().length).cloneNode(true);
    copy.querySelector(".tips")?.remove();
    copy.setAttribute("font-family", "'DejaVu Sans', Verdana, sans-serif");
    // Colours of the page are not known elsewhere.
    return new XMLSerializer().serializeToString(copy).replaceAll(/var\(--[\w-]+, (#\w+)\)/g, "$1");
  };

  for (const chart of document.querySelectorAll(".chart")) {
    const drawing = chart.querySelector(".drawing");
    drawing.tabIndex = 0;
    const answer = ({ clientX, clientY }) => {
      const mark = nearest(marksOf(drawing), clientX, clientY);
      if (mark) tell(mark); else hide();
    };
    drawing.addEventListener("pointermove", answer);
    drawing.addEventListener("pointerdown", answer);
    drawing.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
    drawing.addEventListener("blur", hide);
    drawing.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      const marks = marksOf(drawing);
      if (marks.length) tell(marks.at((Math.max(marks.indexOf(told), step > 0 ? -1 : 0) + step) % marks.length));
    });
    chart.querySelector(".downloads").hidden = false;
    chart.querySelector("[data-download=csv]").addEventListener("click", () =>
      give(`${chart.dataset.name}.csv`, "text/csv", csv(JSON.parse(chart.querySelector("script").textContent))));
    chart.querySelector("[data-download=svg]").addEventListener("click", () =>
      give(`${chart.dataset.name}.svg`, "image/svg+xml", svg(drawing)));
  }
  addEventListener("scroll", hide, { passive: true });
})();
