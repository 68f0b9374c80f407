"use strict";
// Sends an image and settings, and shows the inside view that comes back. One request is under way at a time; what is
// moved meanwhile is sent when it is back.
(() => {
  const byId = (id) => document.getElementById(id);
  const made = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const MOST_BYTES = 16 * 1024 * 1024, PEN = 20, STEP = 8;
  const inside = byId("inside");
  let about, shown = null, image = null, answeredLast = null, settings = {}, asking = false, moved = false, waiting = 0;

  const say = (lines, error = "") => {
    byId("summary").replaceChildren(...lines.map((text) => made("p", { textContent: text })));
    byId("error").textContent = error;
    byId("error").hidden = !error;
  };
  /** Says why the last image is not answered. The answers to the one before stay. */
  const refuse = (why) => say(shown ? [`Still shown: ${answeredLast.name}`] : [], why);
  const answered = (model) => {
    const last = model.probabilities.at(-1)[model.prediction], since = model.decided, steps = model.probabilities.length;
    const from = since ? ` after ${steps} ${steps > 1 ? "steps" : "step"}, and this answer since step ${since}` : "";
    return `${model.name}: ${shown.classes[model.prediction]}, ${(100 * last).toFixed(1)} %${from}`;
  };

  async function ask() {
    if (!image) return;
    if (asking) { moved = true; return; }
    asking = true; moved = false;
    inside.setAttribute("aria-busy", "true");
    if (!inside.hasChildNodes()) say(["The networks are asked. Right after an installation, the first answer takes longer."]);
    const query = new URLSearchParams(settings);
    if (image.sample !== undefined) query.set("sample", image.sample);
    const asked = image;
    try {
      const body = asked.content ?? "";
      const reply = await fetch(`/answer?${query}`, {
        method: "POST", body, headers: { "Content-Type": "application/octet-stream" },
      });
      const found = await reply.json();
      if (reply.ok) {
        const time = inside.querySelector(".sdi-controls input");
        shown = found;
        spikeduelInside(inside, found, time && +time.value < +time.max ? { step: +time.value } : {});
        say([asked.name, ...found.models.map(answered)]);
        answeredLast = asked;
      } else {
        refuse(found.error);
        // Settings go on from what could be answered.
        if (image === asked) { image = answeredLast; mark(); }
      }
    } catch {
      refuse("spikeduel play does not answer. Is it still running in its terminal?");
    }
    inside.setAttribute("aria-busy", "false");
    asking = false;
    if (moved) ask();
  }

  const soon = () => { clearTimeout(waiting); waiting = setTimeout(ask, 120); };

  const mark = () => byId("samples").querySelectorAll("button").forEach((button, number) => {
    button.setAttribute("aria-pressed", String(number === image?.sample));
  });

  function choose(chosen) {
    image = chosen;
    mark();
    ask();
  }

  // 1. Samples, uploads, drawings.
  function showSamples() {
    byId("sample-part").hidden = !about.samples.length;
    about.samples.forEach(({ picture, label }, sample) => {
      const button = made("button", { type: "button", title: label }, made("img", { src: picture, alt: label }));
      button.addEventListener("click", () => choose({ sample, name: `A sample: ${label}` }));
      byId("samples").append(button);
    });
  }

  function upload(file) {
    if (!file) return;
    if (file.size > MOST_BYTES) { refuse(`${file.name} is larger than 16 MB: choose a smaller one.`); return; }
    if (!file.size) { refuse(`${file.name} is empty: choose another one.`); return; }
    choose({ content: file, name: `Your file: ${file.name}` });
  }

  function startDrawing() {
    const canvas = byId("drawing"), context = canvas.getContext("2d");
    const [paper, ink] = about.dark ? ["#000", "#fff"] : ["#fff", "#000"];
    let last = null, isDown = false, pen = [canvas.width / 2, canvas.height / 2];
    const clear = () => { context.fillStyle = paper; context.fillRect(0, 0, canvas.width, canvas.height); };
    const place = (event) => {
      const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
      return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    };
    const line = (from, to) => {
      Object.assign(context, { lineWidth: PEN, lineCap: "round", strokeStyle: ink });
      context.beginPath(); context.moveTo(...from); context.lineTo(...to); context.stroke();
    };
    const send = () => canvas.toBlob((content) => choose({ content, name: "Your drawing" }), "image/png");
    clear();
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      last = place(event);
      line(last, last);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      const now = place(event);
      line(last, now);
      last = now;
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { if (last) send(); last = null; });
    canvas.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (event.key === "Enter") {
        isDown = !isDown;
        byId("drawing-help").textContent = isDown ? "The pen is down. Enter lifts it." : "The pen is up. Enter puts it down.";
        if (isDown) line(pen, pen);
        send();
      } else if (way) {
        const to = pen.map((at, axis) => Math.min(canvas.width, Math.max(0, at + STEP * way[axis])));
        if (isDown) { line(pen, to); send(); }
        pen = to;
      } else return;
      event.preventDefault();
    });
    byId("clear").addEventListener("click", () => { clear(); send(); });
  }

  // 2. Settings: nothing is sent of those that were not moved, so that each network keeps its own.
  const named = (names) => names.join(names.length > 2 ? ", " : " and ");

  function groupOf(takers) {
    const all = takers.length === about.models.length, name = named(takers.map((model) => model.name));
    const known = [...byId("controls").children].find((group) => group.dataset.takers === name);
    if (known) return known;
    const group = made("fieldset", {}, made("legend", { textContent: all ? "All networks" : `${name} only` }));
    group.dataset.takers = name;
    byId("controls").append(group);
    return group;
  }

  /** A setting of the networks that have it, or, `ofImage`, of the image; `help` makes a line for a value. */
  function control(name, title, help, input, ofImage = false) {
    const takers = ofImage ? about.models : about.models.filter((model) => name in model.takes);
    if (!takers.length) return;
    const own = new Set(takers.map((model) => model.takes[name])), start = ofImage ? input.value : takers[0].takes[name];
    const id = `setting-${name}`, output = made("output", { htmlFor: id });
    const told = made("p", { id: `${id}-help`, className: "quiet" });
    const show = (text) => { output.textContent = text; told.textContent = help(input.value); };
    const rest = () => {
      delete settings[name];
      input.value = start;
      show(ofImage ? start : own.size > 1 ? "as trained" : `${start}, as trained`);
    };
    input.addEventListener("input", () => {
      settings[name] = input.value;
      show(input.value);
      soon();
    });
    byId("reset").addEventListener("click", rest);
    input.id = id;
    input.setAttribute("aria-describedby", told.id);
    const label = made("label", { htmlFor: id }, title, ...(input.type === "range" ? [output] : []));
    groupOf(takers).append(made("div", { className: "control" }, label, input, told));
    rest();
  }

  const range = (min, max, step, value) => Object.assign(made("input", { type: "range" }), { min, max, step, value });
  const select = (options) => made("select", {}, ...options.map(([value, text]) => made("option", { value, textContent: text })));

  function showSettings() {
    const own = about.models.map((model) => model.takes.encoding).filter(Boolean);
    const encodings = [...new Set([...own, ...Object.keys(about.encodings)])];
    const asTrained = (name) => [name, own[0] === name ? `${name}, as trained` : name];
    const { num_steps, threshold } = about.limits;
    control("num_steps", "Time steps", () => "", range(...num_steps, 1));
    control("threshold", "Threshold", () => "What a membrane must pass to spike.", range(...threshold, 0.05));
    control("beta", "Decay (beta)", () => "What a membrane keeps at each step.", range(0, 1, 0.05));
    control("encoding", "Encoding", (name) => about.encodings[name] ?? "", select(encodings.map(asTrained)));
    const corruptions = [["", "none"], ...about.corruptions.map((name) => [name, name])];
    control("corruption", "Corruption of the image", () => "", select(corruptions), true);
    control("severity", "Severity", () => "", range(1, about.severities, 1, 3), true);
    const corruption = byId("setting-corruption"), severity = byId("setting-severity");
    const still = () => { severity.disabled = !corruption.value; };
    corruption.addEventListener("input", still);
    byId("reset").addEventListener("click", () => { still(); soon(); });
    still();
  }

  async function start() {
    about = await (await fetch("/about")).json();
    const silent = about.models.filter((model) => !model.spiking).map((model) => model.name);
    byId("who").textContent = `One image, asked of ${named(about.models.map((model) => model.name))}.` +
      (silent.length ? ` ${named(silent)} ${silent.length > 1 ? "do" : "does"} not spike: it answers at once, without time steps.` : "");
    showSamples();
    startDrawing();
    showSettings();
    // What has the focus is scrolled to above the answers, where these stay in sight.
    new ResizeObserver(() => {
      document.documentElement.style.setProperty("--said", `${byId("said").offsetHeight}px`);
    }).observe(byId("said"));
    byId("upload").addEventListener("change", (event) => { upload(event.target.files[0]); event.target.value = ""; });
    byId("upload-part").addEventListener("dragover", (event) => event.preventDefault());
    byId("upload-part").addEventListener("drop", (event) => { event.preventDefault(); upload(event.dataTransfer.files[0]); });
    say(["Choose a sample, upload an image, or draw one."]);
    if (about.samples.length) byId("samples").firstElementChild.click();
  }

  start().catch(() => say([], "spikeduel play does not answer. Is it still running in its terminal?"));
})();
