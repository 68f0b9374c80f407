// Shows what happens inside networks while they answer one image: `data` is the JSON of results/inside.py.
// What `element` showed before is replaced. Returns { step() }, the step shown, from 1; `options.step` is the first one.
const spikeduelInside = (() => {
  "use strict";
  const playing = new WeakMap();
  const WIDTH = 340;
  const per = (value, digits = 0) => `${(100 * value).toFixed(digits)} %`;
  const whole = (value) => Math.round(value).toLocaleString("en");
  const at = (list, t) => list[Math.min(t, list.length - 1)];
  const bytes = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  const bit = (data, place) => (data[place >> 3] >> (7 - (place & 7))) & 1;
  const joules = (value) => {
    const [unit, size] = [["mJ", 1e-3], ["µJ", 1e-6], ["nJ", 1e-9], ["pJ", 1e-12]].find(([, s]) => value >= s) || ["pJ", 1e-12];
    return `${(value / size).toPrecision(3)} ${unit}`;
  };

  function node(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }
  function drawn(tag, attributes = {}, text = "") {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  }
  const chart = (height, label) => drawn("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label, class: "sdi-chart" });

  /** Pictures with `value(n, c, y, x)`. */
  function opened(pictures) {
    const [, channels, height, width] = pictures.shape, data = bytes(pictures.data), range = pictures.high - pictures.low;
    const value = (n, c, y, x) => {
      const place = ((n * channels + c) * height + y) * width + x;
      return pictures.low + range * (pictures.bits === 1 ? bit(data, place) : data[place] / 255);
    };
    return { ...pictures, channels, height, width, count: pictures.shape[0], value };
  }
  /** A canvas, and what paints it by `colour(y, x)`, which gives [red, green, blue]. */
  function canvas(width, height, label) {
    const made = node("canvas", { width, height, role: "img", "aria-label": label, class: "sdi-picture" });
    const context = made.getContext("2d");
    const paint = (colour) => {
      const pixels = context.createImageData(width, height);
      for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) pixels.data.set([...colour(y, x), 255], 4 * (y * width + x));
      context.putImageData(pixels, 0, 0);
    };
    return [made, paint];
  }
  const mixed = (ground, ink, share) => ground.map((each, k) => Math.round(each + (ink[k] - each) * Math.min(share, 1)));
  const WHITE = [255, 255, 255], WARM = [213, 94, 0], COLD = [0, 114, 178];
  /** The colour of a place of picture n: grey, red-green-blue, or of events darker (blue) and brighter (orange). */
  function colourOf(picture, n, y, x, channel = 0) {
    const share = (c) => (picture.value(n, c, y, x) - picture.low) / (picture.high - picture.low || 1);
    if (picture.channels === 3) return [0, 1, 2].map((c) => 255 * share(c));
    if (picture.channels === 2) return mixed(mixed(WHITE, COLD, Math.sqrt(share(0))), WARM, Math.sqrt(share(1)));
    return Array(3).fill(255 * share(channel));
  }

  function show(element, data, options = {}) {
    playing.get(element)?.();
    const models = data.models, length = (model) => Math.max(model.probabilities.length, model.input.shape[0]);
    const steps = Math.max(...models.map(length)), updates = [];
    const word = data.noun === "recording" ? "frame" : "step";
    const tip = node("div", { class: "sdi-tip", hidden: "" });
    let step = 0;

    /** Text beside the pointer over `target`: what `said(x, y)` gives for shares of its width and height. */
    function tell(target, said, chosen) {
      const share = (event) => {
        const box = target.getBoundingClientRect();
        return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      };
      target.addEventListener("pointermove", (event) => {
        const text = said(...share(event)), box = element.getBoundingClientRect();
        tip.hidden = !text;
        tip.textContent = text;
        tip.style.left = `${Math.min(event.clientX - box.left + 12, Math.max(box.width - tip.offsetWidth - 4, 0))}px`;
        tip.style.top = `${event.clientY - box.top + 14}px`;
      });
      target.addEventListener("pointerleave", () => (tip.hidden = true));
      if (chosen) target.addEventListener("click", (event) => go(chosen(...share(event))));
    }
    const part = (title, caption, ...content) =>
      node("div", { class: "sdi-part" }, node("h4", {}, title), ...content, ...(caption ? [node("p", {}, caption)] : []));

    function inputOf(model) {
      const input = opened(model.input), [made, paint] = canvas(input.width, input.height, `what ${model.name} gets`);
      const caption = node("p", {}), n = () => Math.min(step, input.count - 1);
      let before = -1;
      updates.push(() => {
        if (n() !== before) paint((y, x) => colourOf(input, n(), y, x));
        before = n();
        caption.textContent = input.count > 1 ? `${word} ${n() + 1} of ${input.count}` : length(model) > 1 ? "the same at every step" : "once, as numbers";
      });
      tell(made, (x, y) => {
        const [column, row] = [Math.min(Math.floor(x * input.width), input.width - 1), Math.min(Math.floor(y * input.height), input.height - 1)];
        const values = Array.from({ length: input.channels }, (_, c) => +input.value(n(), c, row, column).toFixed(2));
        return `row ${row + 1}, column ${column + 1}: ${values.join(", ")}`;
      });
      return part("Input", "", made, caption);
    }

    function attributionOf(model) {
      const answer = data.classes[model.answer];
      if (!model.attribution) return part("Attribution", "This network's library gives no gradient for it.");
      const map = opened(model.attribution), image = opened(data.image), most = map.high || 1;
      const [made, paint] = canvas(map.width, map.height, `pixels that raise or lower ${model.name}'s score of ${answer}`);
      const grey = (y, x) => colourOf(image, 0, Math.floor((y * image.height) / map.height), Math.floor((x * image.width) / map.width));
      paint((y, x) => {
        const value = map.value(0, 0, y, x) / most, share = Math.sqrt(Math.abs(value));
        return mixed(grey(y, x).map((each) => 255 - 0.35 * each), value > 0 ? WARM : COLD, share < 0.12 ? 0 : share);
      });
      tell(made, (x, y) => {
        const value = map.value(0, 0, Math.min(Math.floor(y * map.height), map.height - 1), Math.min(Math.floor(x * map.width), map.width - 1));
        return `${value < 0 ? "lowers" : "raises"} the score: ${per(Math.abs(value) / most)} of the strongest pixel`;
      });
      return part("Attribution", `Orange raises the score of ${answer}, blue lowers it.`, made);
    }

    function probabilitiesOf(model) {
      const rows = data.classes.map((name, k) => {
        const bar = node("span", { class: "sdi-bar" }), value = node("span", { class: "sdi-value" });
        const label = node("span", { class: "sdi-class", title: name }, k === data.truth ? `✓ ${name}` : name);
        const row = node("li", { class: k === data.truth ? "sdi-true" : "" }, label, node("span", { class: "sdi-track" }, bar), value);
        updates.push(() => {
          const now = at(model.probabilities, step);
          bar.style.width = per(now[k], 1).replace(" ", "");
          value.textContent = per(now[k], 1);
          row.classList.toggle("sdi-first", now[k] === Math.max(...now));
        });
        return row;
      });
      const settled = model.decided === null ? "" : ` Its answer stays the same from ${word} ${model.decided} on.`;
      const truth = data.truth === null ? "" : model.answer === data.truth ? " That is right." : ` The true class is ${data.classes[data.truth]}.`;
      return part("Answer", `It answers ${data.classes[model.answer]}.${truth}${settled}`, node("ul", { class: "sdi-bars" }, ...rows));
    }

    /** A chart of lines over time with a cursor; each line is {name, values, dashed?}. */
    function linesOf(title, caption, lines, low, high, form) {
      const count = lines[0].values.length, height = 118, left = 34, top = 8, bottom = 18;
      const x = (t) => left + ((WIDTH - left - 8) * (t + 0.5)) / count, y = (v) => top + ((high - v) / (high - low)) * (height - top - bottom);
      const made = chart(height, title), cursor = drawn("line", { y1: top, y2: height - bottom, class: "sdi-cursor" });
      for (const v of [low, high]) {
        made.append(drawn("line", { x1: left, x2: WIDTH - 8, y1: y(v), y2: y(v), class: "sdi-grid" }));
        made.append(drawn("text", { x: left - 4, y: y(v) + 3, "text-anchor": "end" }, form(v)));
      }
      lines.forEach(({ values, dashed }, k) => {
        const points = values.map((v, t) => `${x(t).toFixed(1)} ${y(v).toFixed(1)}`);
        made.append(drawn("path", { d: `M${points.join("L")}`, class: dashed ? "sdi-dashed" : `sdi-line sdi-c${k}` }));
      });
      made.append(drawn("text", { x: left, y: height - 5 }, `${word} 1`), drawn("text", { x: WIDTH - 8, y: height - 5, "text-anchor": "end" }, count), cursor);
      updates.push(() => ["x1", "x2"].forEach((name) => cursor.setAttribute(name, x(Math.min(step, count - 1)))));
      const when = (share) => Math.max(0, Math.min(count - 1, Math.floor(((share * WIDTH - left) / (WIDTH - left - 8)) * count)));
      tell(made, (share) => `${word} ${when(share) + 1}: ${lines.map((each) => `${each.name} ${form(at(each.values, when(share)))}`).join(", ")}`, when);
      const key = node("ul", { class: "sdi-key" }, ...lines.map(({ name, dashed }, k) => node("li", { class: dashed ? "sdi-k-dashed" : `sdi-k${k}` }, name)));
      return part(title, caption, made, key);
    }

    function evidenceOf(model) {
      const highest = data.classes.map((name, k) => ({ name, values: model.probabilities.map((now) => now[k]) }));
      const ranked = highest.sort((a, b) => Math.max(...b.values) - Math.max(...a.values)).slice(0, 4);
      return linesOf("Evidence over time", `Probability after each ${word}.`, ranked, 0, 1, (v) => per(v));
    }

    function rasterOf(model) {
      const count = model.layers[0].spikes.length, made = chart(1, "spikes by layer over time"), blocks = [];
      const left = model.layers.some((each) => each.of_classes) ? 84 : 4, x = (t) => left + ((WIDTH - left - 4) * t) / count;
      let top = 0;
      model.layers.forEach((layer, number) => {
        const row = layer.of_classes ? 12 : 3, raster = bytes(layer.raster), total = layer.shape.reduce((a, b) => a * b, 1);
        const label = drawn("text", { x: 4, y: top + 12 }), start = top + 17, marks = [], most = Math.max(...layer.spikes, 1);
        layer.shown.forEach((place, k) => {
          for (let t = 0; t < count; t++) if (bit(raster, k * count + t)) marks.push(`M${(x(t) + 0.5).toFixed(1)} ${start + k * row}h${Math.max(x(1) - x(0) - 1, 0.8).toFixed(1)}v${row - 0.6}h-${Math.max(x(1) - x(0) - 1, 0.8).toFixed(1)}z`);
          if (layer.of_classes) made.append(drawn("text", { x: left - 4, y: start + k * row + 10, "text-anchor": "end" }, data.classes[k].slice(0, 14)));
        });
        top = start + layer.shown.length * row + 16;
        made.append(label, drawn("path", { d: marks.join(""), class: "sdi-spikes" }));
        const bars = layer.spikes.map((each, t) => `M${x(t) + 0.5} ${top - 3}v-${((11 * each) / most).toFixed(1)}h${(x(1) - x(0) - 1).toFixed(1)}V${top - 3}z`);
        made.append(drawn("path", { d: bars.join(""), class: "sdi-rate" }));
        blocks.push({ start, top, layer, total });
        updates.push(() => {
          const now = at(layer.spikes, step), name = layer.of_classes ? "class neurons" : `layer ${number + 1}, ${layer.shape.join("×")} neurons`;
          label.textContent = `${name}: ${whole(now)} spiked (${per(now / total, 1)})`;
        });
      });
      const later = drawn("rect", { y: 0, height: top, class: "sdi-later" }), cursor = drawn("line", { y1: 0, y2: top, class: "sdi-cursor" });
      made.setAttribute("viewBox", `0 0 ${WIDTH} ${top}`);
      made.append(later, cursor);
      updates.push(() => {
        const here = x(Math.min(step, count - 1) + 1);
        ["x1", "x2"].forEach((name) => cursor.setAttribute(name, here));
        later.setAttribute("x", here);
        later.setAttribute("width", WIDTH - here);
      });
      const when = (share) => Math.max(0, Math.min(count - 1, Math.floor(((share * WIDTH - left) / (WIDTH - left - 4)) * count)));
      tell(made, (share, down) => {
        const found = blocks.find((each) => down * top < each.top);
        return found ? `${word} ${when(share) + 1}: ${whole(found.layer.spikes[when(share)])} of ${whole(found.total)} neurons spiked` : "";
      }, when);
      const rows = "A row is a neuron, from busy to still; a mark is a spike. Grey bars: spikes of the whole layer.";
      return part("Spikes by layer", rows, made);
    }

    function membranesOf(model) {
      const names = model.layers.map((each, k) => (each.of_classes ? "class neurons" : `layer ${k + 1}`));
      const choice = node("select", { "aria-label": "layer whose membranes are shown" }, ...names.map((name, k) => node("option", { value: k }, name)));
      const place = node("div"), mine = [];
      const fill = () => {
        mine.splice(0).forEach((each) => updates.splice(updates.indexOf(each), 1));
        const layer = model.layers[choice.value], known = updates.length, first = layer.membranes[0];
        const name = (each) => (layer.of_classes ? data.classes[layer.shown.indexOf(each.neuron)] : `neuron ${whole(each.neuron + 1)}`);
        const lines = layer.membranes.map((each) => ({ name: name(each), values: each.potential }));
        if (first.threshold) lines.push({ name: "threshold", values: first.threshold, dashed: true });
        const values = lines.flatMap((each) => each.values), low = Math.min(...values, 0), high = Math.max(...values, low + 1e-6);
        place.replaceChildren(linesOf("Membranes", "A neuron spikes where its potential is above the threshold.", lines, low, high, (v) => +v.toPrecision(2)));
        mine.push(...updates.slice(known));
        mine.forEach((update) => update());
        place.firstChild.firstChild.after(choice);
      };
      choice.value = names.length - 1;
      choice.addEventListener("change", () => (fill(), choice.focus()));
      fill();
      return place;
    }

    function activationsOf(model) {
      const rows = model.activations.map((layer, number) => {
        const maps = opened(layer.maps), now = () => Math.min(step, maps.count - 1);
        const canvases = Array.from({ length: maps.channels }, (_, c) => {
          const [made, paint] = canvas(maps.width, maps.height, `layer ${number + 1}, channel ${c + 1} of those shown`);
          let before = -1;
          updates.push(() => {
            if (now() !== before) paint((y, x) => colourOf({ ...maps, channels: 1, value: (n, _, a, b) => maps.value(n, c, a, b) }, now(), y, x));
            before = now();
          });
          return made;
        });
        const size = maps.channels === 1 ? `layer ${number + 1}: its ${whole(layer.channels)} numbers` : `layer ${number + 1}: ${maps.channels} of ${layer.channels} channels, ${maps.height}×${maps.width}`;
        return node("div", {}, node("p", {}, size), node("div", { class: "sdi-maps" }, ...canvases));
      });
      return part(model.layers.length ? "Spikes as maps" : "Activations", "The strongest channels of each layer, as the next one gets them. Bright: more.", ...rows);
    }

    function costOf(model) {
      const said = node("p", { class: "sdi-cost" });
      let spikes = 0;
      const sums = (model.spikes || []).map((each) => (spikes += each));
      updates.push(() => {
        const parts = sums.length ? [`${whole(at(sums, step))} spikes`] : [];
        if (model.joules) parts.push(`about ${joules(at(model.joules, step))}`);
        said.textContent = parts.join(", ") || "not known for this network";
      });
      return part(length(model) > 1 && model.spiking ? "Spikes and energy so far" : "Energy", model.joules ? `Estimated: ${data.energy}.` : "", said);
    }

    const panels = models.map((model) => {
      const kind = model.spiking ? `spiking, ${model.probabilities.length > 1 ? `${model.probabilities.length} ${word}s, ` : ""}${model.encoding} encoding` : "not spiking";
      const parts = [inputOf(model), attributionOf(model), probabilitiesOf(model)];
      if (model.probabilities.length > 1) parts.push(evidenceOf(model));
      parts.push(costOf(model));
      if (model.layers.length) parts.push(rasterOf(model), membranesOf(model));
      if (model.foreign && model.spiking) parts.push(part("Spikes by layer", "Its neurons are another library's, so spikeduel cannot look at each."));
      if (model.activations.length) parts.push(activationsOf(model));
      return node("section", { class: "sdi-model", "aria-label": model.name }, node("h3", {}, model.name), node("p", { class: "sdi-kind" }, kind), node("div", { class: "sdi-parts" }, ...parts));
    });

    const slider = node("input", { type: "range", min: 1, max: steps, value: 1, "aria-label": `time ${word}` });
    const button = node("button", { type: "button" }), said = node("output", {});
    let timer = null;
    function stop() {
      clearInterval(timer);
      timer = null;
      button.textContent = "▶";
      button.setAttribute("aria-label", "play");
    }
    function go(to) {
      step = Math.max(0, Math.min(to, steps - 1));
      slider.value = step + 1;
      said.textContent = `${word} ${step + 1} of ${steps}`;
      slider.setAttribute("aria-valuetext", said.textContent);
      updates.forEach((update) => update());
    }
    button.addEventListener("click", () => {
      if (timer !== null) return stop();
      if (step === steps - 1) go(0);
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      button.textContent = "❚❚";
      button.setAttribute("aria-label", "pause");
      timer = setInterval(() => {
        if (!element.isConnected || step === steps - 1) return stop();
        go(step + 1);
        if (step === steps - 1) stop();
      }, calm ? 1500 : Math.max(150, Math.min(800, 6000 / steps)));
    });
    slider.addEventListener("input", () => (stop(), go(slider.value - 1)));
    const controls = node("div", { class: "sdi-controls", role: "group", "aria-label": "time" }, button, slider, said);
    controls.hidden = steps === 1;
    element.classList.add("sdi");
    element.replaceChildren(controls, node("div", { class: "sdi-models" }, ...panels), tip);
    playing.set(element, stop);
    stop();
    go((options.step ?? steps) - 1);
    return { step: () => step + 1 };
  }
  return show;
})();
