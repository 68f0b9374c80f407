// spikeduelInside(element, data, { step }) shows what happens inside networks while they answer one image, in place of
// what `element` showed: `data` is the JSON of evaluation/inside_measurement.py, `step` the time step to begin with, from 1 (or last).
globalThis.spikeduelInside = (() => {
  "use strict";
  const WIDTH = 300, RIGHT = 6, WHITE = [255, 255, 255], WARM = [213, 94, 0], COLD = [0, 114, 178];
  const SVG = new Set(["svg", "path", "line", "rect", "text"]);
  const stops = new WeakMap();
  const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;
  const whole = (number) => Math.round(number).toLocaleString("en");
  const within = (place, count) => Math.max(0, Math.min(place, count - 1));
  const at = (list, step) => list[within(step, list.length)];
  const bytes = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  const bit = (data, place) => (data[place >> 3] >> (7 - (place & 7))) & 1;
  const mixed = (ground, ink, share) => ground.map((each, k) => each + (ink[k] - each) * Math.min(share, 1));
  const said = (joules) => {
    const [unit, size] = [["mJ", 1e-3], ["µJ", 1e-6], ["nJ", 1e-9]].find((each) => joules >= each[1]) || ["pJ", 1e-12];
    return `${(joules / size).toPrecision(3)} ${unit}`;
  };
  const saidRange = ({ low, high }) => {
    const [from, to] = [said(low), said(high)], [number, unit] = from.split(" ");
    return from === to ? to : `${to.endsWith(` ${unit}`) ? number : from} to ${to}`;
  };

  function make(tag, attributes = {}, ...children) {
    const drawn = SVG.has(tag);
    const node = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }
  const part = (title, caption, ...content) =>
    make("div", { class: "sdi-part" }, make("h4", {}, title), ...content, ...(caption ? [make("p", {}, caption)] : []));

  /** Pictures as `value(n, c, y, x)`, and as shares of the highest. */
  function opened(pictures) {
    const [count, channels, height, width] = pictures.shape, data = bytes(pictures.data);
    const share = (n, c, y, x) => {
      const place = ((n * channels + c) * height + y) * width + x;
      return pictures.bits === 1 ? bit(data, place) : data[place] / 255;
    };
    const value = (...place) => pictures.low + (pictures.high - pictures.low) * share(...place);
    return { count, channels, height, width, share, value, most: pictures.high };
  }
  /** Grey, or red, green and blue; of a camera's events, darker is blue and brighter orange. */
  function colour(pictures, n, y, x) {
    const share = (c) => pictures.share(n, c, y, x);
    if (pictures.channels === 3) return [0, 1, 2].map((c) => 255 * share(c));
    if (pictures.channels !== 2) return Array(3).fill(255 * share(0));
    return mixed(mixed(WHITE, COLD, Math.sqrt(share(0))), WARM, Math.sqrt(share(1)));
  }

  function show(element, data, options = {}) {
    stops.get(element)?.();
    const word = data.noun === "recording" ? "frame" : "step", updates = [];
    const lengthOf = (model) => Math.max(model.probabilities.length, model.input.shape[0]);
    const steps = Math.max(...data.models.map(lengthOf));
    const tip = make("div", { class: "sdi-tip", hidden: "" });
    let step = 0;

    /** `words(x, y)` beside the pointer, of shares of the width and height of `target`; a click goes to `stepAt(x)`. */
    function tell(target, words, stepAt) {
      const place = (event) => {
        const box = target.getBoundingClientRect();
        return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      };
      target.addEventListener("pointermove", (event) => {
        const box = element.getBoundingClientRect();
        tip.textContent = words(...place(event));
        tip.hidden = !tip.textContent;
        tip.style.left = `${Math.max(0, Math.min(event.clientX - box.left + 12, box.width - tip.offsetWidth - 4))}px`;
        tip.style.top = `${event.clientY - box.top + 14}px`;
      });
      target.addEventListener("pointerleave", () => (tip.hidden = true));
      if (stepAt) target.addEventListener("click", (event) => go(stepAt(place(event)[0])));
    }

    /** A canvas that shows `inks(n, y, x)` of the picture of the step, and says `words(n, y, x)` of a pixel. */
    function picture(pictures, label, inks, words) {
      const { width, height, count } = pictures;
      const canvas = make("canvas", { width, height, role: "img", "aria-label": label });
      const context = canvas.getContext("2d"), pixels = context.createImageData(width, height);
      let painted = -1;
      updates.push(() => {
        const n = within(step, count);
        if (n === painted) return;
        for (let y = 0; y < height; y++)
          for (let x = 0; x < width; x++) pixels.data.set([...inks(n, y, x), 255], 4 * (y * width + x));
        context.putImageData(pixels, 0, 0);
        painted = n;
      });
      tell(canvas, (x, y) => {
        const row = within(Math.floor(y * height), height), column = within(Math.floor(x * width), width);
        return `row ${row + 1}, column ${column + 1}: ${words(within(step, count), row, column)}`;
      });
      return canvas;
    }

    /** A chart over `count` time steps from `left` on: its scale, its step at a share of the width, its cursor. */
    function overTime(label, count, left, height, bottom = height) {
      const chart = make("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label });
      const width = (WIDTH - left - RIGHT) / count, x = (time) => left + width * time;
      const cursor = make("line", { y1: 0, y2: bottom, class: "sdi-cursor" });
      updates.push(() => ["x1", "x2"].forEach((name) => cursor.setAttribute(name, x(within(step, count) + 0.5))));
      return { chart, x, width, cursor, when: (share) => within(Math.floor((share * WIDTH - left) / width), count) };
    }

    function lines(title, named, low, high, form) {
      const count = named[0].values.length, height = 110, bottom = 92, left = 36;
      const { chart, x, cursor, when } = overTime(title, count, left, height, bottom);
      const y = (value) => 8 + ((high - value) / (high - low)) * (bottom - 8);
      for (const value of [low, high]) {
        chart.append(make("line", { x1: left, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "sdi-grid" }));
        chart.append(make("text", { x: left - 4, y: y(value) + 3, "text-anchor": "end" }, form(value)));
      }
      named.forEach(({ values, look }) => {
        const points = values.map((value, time) => `${x(time + 0.5).toFixed(1)} ${y(value).toFixed(1)}`);
        chart.append(make("path", { d: `M${points.join("L")}`, class: `sdi-line sdi-${look}` }));
      });
      const last = make("text", { x: WIDTH - RIGHT, y: height - 4, "text-anchor": "end" }, count);
      chart.append(cursor, make("text", { x: left, y: height - 4 }, `${word} 1`), last);
      const now = (time) => named.map(({ name, values }) => `${name} ${form(at(values, time))}`).join(", ");
      tell(chart, (share) => `${word} ${when(share) + 1}: ${now(when(share))}`, when);
      const keys = named.map(({ name, look }) => make("li", { class: `sdi-${look}` }, name));
      return [chart, make("ul", { class: "sdi-key" }, ...keys)];
    }

    function pictures(model) {
      const input = opened(model.input), caption = make("p"), answer = data.classes[model.prediction];
      updates.push(() => {
        const once = model.spiking ? `The same at every ${word}.` : "Once, as numbers.";
        caption.textContent = input.count > 1 ? `${word} ${within(step, input.count) + 1} of ${input.count}` : once;
      });
      const numbers = (n, y, x) =>
        Array.from({ length: input.channels }, (_, c) => +input.value(n, c, y, x).toFixed(2)).join(", ");
      const seen = picture(input, `what ${model.name} gets`, (...place) => colour(input, ...place), numbers);
      const first = part("Input", "", seen, caption);
      if (!model.attribution) return [first, part("Attribution", "Its library gives no gradient for it.")];
      const map = opened(model.attribution), image = opened(data.picture);
      const pixel = (place, side) => Math.floor((place * image[side]) / map[side]);
      const inks = (n, y, x) => {
        const share = Math.sqrt(Math.abs(map.value(n, 0, y, x)) / map.most);
        const pale = colour(image, 0, pixel(y, "height"), pixel(x, "width")).map((each) => 255 - 0.35 * each);
        return mixed(pale, map.value(n, 0, y, x) > 0 ? WARM : COLD, share < 0.12 ? 0 : share);
      };
      const words = (n, y, x) => {
        const value = map.value(n, 0, y, x) / map.most;
        return `${value < 0 ? "lowers" : "raises"} the score, by ${percent(Math.abs(value))} of the strongest pixel`;
      };
      const why = picture(map, `pixels that raise or lower the score of ${answer}`, inks, words);
      return [first, part("Attribution", `Orange raises the score of ${answer}, blue lowers it.`, why)];
    }

    function answerOf(model) {
      const rows = data.classes.map((name, k) => {
        const bar = make("span", { class: "sdi-bar" }), value = make("span", { class: "sdi-value" });
        const label = make("span", { class: "sdi-class", title: name }, k === data.truth ? `✓ ${name}` : name);
        const row = make("li", {}, label, make("span", { class: "sdi-track" }, bar), value);
        row.classList.toggle("sdi-true", k === data.truth);
        updates.push(() => {
          const now = at(model.probabilities, step);
          bar.style.width = `${100 * now[k]}%`;
          value.textContent = percent(now[k], 1);
          row.classList.toggle("sdi-first", now[k] === Math.max(...now));
        });
        return row;
      });
      const settled = model.decided === null ? "" : ` Its answer stays the same from ${word} ${model.decided} on.`;
      const wrong = `, which is wrong: it is ${data.classes[data.truth]}`;
      const truth = data.truth === null ? "" : model.prediction === data.truth ? ", which is right" : wrong;
      const caption = `It answers ${data.classes[model.prediction]}${truth}.${settled}`;
      return part("Probability of each class", caption, make("ul", { class: "sdi-bars" }, ...rows));
    }

    function evidenceOf(model) {
      const named = data.classes.map((name, k) => ({ name, values: model.probabilities.map((now) => now[k]) }));
      const highest = named.sort((a, b) => Math.max(...b.values) - Math.max(...a.values)).slice(0, 4);
      const shown = highest.filter(({ values }, k) => k === 0 || Math.max(...values) > 0.02);
      shown.forEach((each, k) => (each.look = `c${k}`));
      const chart = lines("evidence over time", shown, 0, 1, (value) => percent(value));
      return part("Evidence over time", `Probability after each ${word}.`, ...chart);
    }

    function costOf(model) {
      const text = make("p", { class: "sdi-cost" });
      let total = 0;
      const sums = (model.spikes || []).map((each) => (total += each));
      updates.push(() => {
        const parts = sums.length ? [`${whole(at(sums, step))} spikes`] : [];
        if (model.joules) parts.push(saidRange(at(model.joules, step)));
        text.textContent = parts.join(", ") || "Not known for this network.";
      });
      const caption = model.joules ? `An estimate, from the cheapest to the most expensive way to compute: ${data.energy}.` : "";
      return part(model.spiking ? "Spikes and energy so far" : "Energy", caption, text);
    }

    function rasterOf(model) {
      const count = model.layers[0].spikes.length, left = model.layers.some((each) => each.of_classes) ? 80 : 2;
      const rows = (layer) => (layer.of_classes ? 12 : 2.4);
      const tops = [0], labels = [];
      for (const layer of model.layers) tops.push(tops.at(-1) + 30 + layer.shown.length * rows(layer));
      const { chart, x, width, cursor, when } = overTime("spikes by layer over time", count, left, tops.at(-1));
      const from = (time) => (x(time) + width * 0.06).toFixed(1), wide = (width * 0.88).toFixed(1);
      const mark = (time, y, height) => `M${from(time)} ${y.toFixed(1)}h${wide}v${height.toFixed(1)}h-${wide}z`;
      const sizes = model.layers.map((layer) => layer.shape.reduce((a, b) => a * b, 1));
      model.layers.forEach((layer, number) => {
        const fired = bytes(layer.raster), row = rows(layer), start = tops[number] + 15;
        const spikes = [], label = make("text", { x: 2, y: start - 4 }), most = Math.max(...layer.spikes, 1);
        layer.shown.forEach((_, k) => {
          for (let time = 0; time < count; time++)
            if (bit(fired, k * count + time)) spikes.push(mark(time, start + k * row, row * 0.85));
          const place = { x: left - 4, y: start + k * row + 9, "text-anchor": "end" };
          if (layer.of_classes) chart.append(make("text", place, data.classes[k].slice(0, 13)));
        });
        const rates = layer.spikes.map((each, time) => mark(time, tops[number + 1] - 3, (-10 * each) / most));
        const name = layer.of_classes ? "neurons of classes" : `layer ${layer.number}, ${layer.shape.join("×")}`;
        updates.push(() => {
          const now = at(layer.spikes, step);
          label.textContent = `${name}: ${whole(now)} spiked (${percent(now / sizes[number], 1)})`;
        });
        labels.push(label);
        chart.append(make("path", { d: spikes.join(""), class: "sdi-spikes" }));
        chart.append(make("path", { d: rates.join(""), class: "sdi-rate" }));
      });
      const later = make("rect", { y: 0, height: tops.at(-1), width: WIDTH, class: "sdi-later" });
      updates.push(() => later.setAttribute("x", x(within(step, count) + 1)));
      chart.append(later, cursor, ...labels);
      tell(chart, (share, down) => {
        const number = within(tops.findLastIndex((top) => down * tops.at(-1) >= top), sizes.length), time = when(share);
        const spiked = `${whole(model.layers[number].spikes[time])} of ${whole(sizes[number])} neurons spiked`;
        return `${word} ${time + 1}, layer ${model.layers[number].number}: ${spiked}`;
      }, when);
      const caption = "A row is a neuron, from busy to still; a mark is a spike. Grey bars: spikes of the whole layer.";
      return part("Spikes by layer", caption, chart);
    }

    function membranesOf(model) {
      const layers = model.layers.map((layer) => {
        const named = layer.membranes.map(({ neuron, potential }, k) => {
          const known = layer.of_classes && data.classes[layer.shown.indexOf(neuron)];
          return { name: known || `neuron ${whole(neuron + 1)}`, values: potential, look: `c${k}` };
        });
        const { threshold } = layer.membranes[0];
        if (threshold) named.push({ name: "threshold", values: threshold, look: "dashed" });
        const values = named.flatMap((each) => each.values), low = Math.min(...values, 0);
        const high = Math.max(...values, low + 0.01);
        const title = layer.of_classes ? "neurons of classes" : `layer ${layer.number}`;
        const chart = lines(`membranes, ${title}`, named, low, high, (value) => `${+value.toFixed(2)}`);
        return make("details", {}, make("summary", {}, title), ...chart);
      });
      layers.at(-1).open = true;
      return part("Membranes", "A neuron spikes where its potential is above the threshold.", ...layers);
    }

    function mapsOf(model) {
      const rows = model.activations.map((layer) => {
        const maps = opened(layer.maps), label = `layer ${layer.number}, ${layer.of_spikes ? "spikes" : "activations"}`;
        const canvases = Array.from({ length: maps.channels }, (_, c) => {
          const inks = (n, y, x) => Array(3).fill(255 * maps.share(n, c, y, x));
          return picture(maps, `${label}, map ${c + 1}`, inks, (n, y, x) => +maps.value(n, c, y, x).toPrecision(3));
        });
        const some = `${maps.channels} of ${layer.channels} channels, ${maps.height}×${maps.width}`;
        const size = maps.channels > 1 ? some : `its ${whole(layer.channels)} numbers`;
        return make("div", {}, make("p", {}, `${label}: ${size}`), make("div", { class: "sdi-maps" }, ...canvases));
      });
      return part("Feature maps", "The strongest channels of each layer. Bright: more.", ...rows);
    }

    const panels = data.models.map((model) => {
      const count = model.probabilities.length > 1 ? `${model.probabilities.length} ${word}s, ` : "";
      const how = data.noun === "recording" ? "events" : `${model.encoding} encoding`;
      const kind = model.spiking ? `spiking, ${count}${how}` : "not spiking";
      const parts = [make("div", { class: "sdi-pair" }, ...pictures(model)), answerOf(model)];
      if (model.probabilities.length > 1) parts.push(evidenceOf(model));
      parts.push(costOf(model));
      if (model.activations.length) parts.push(mapsOf(model));
      if (model.layers.length) parts.push(membranesOf(model), rasterOf(model));
      else if (model.foreign && model.spiking)
        parts.push(part("Spikes by layer", "Its neurons are another library's, and cannot be looked into."));
      const shown = [make("h3", {}, model.name), make("p", {}, kind), make("div", { class: "sdi-parts" }, ...parts)];
      return make("section", { class: "sdi-model", "aria-label": model.name }, ...shown);
    });

    const slider = make("input", { type: "range", min: 1, max: steps, "aria-label": `time ${word}` });
    const button = make("button", { type: "button" }), now = make("output");
    let timer = null;
    function stop() {
      clearInterval(timer);
      timer = null;
      button.textContent = "▶";
      button.setAttribute("aria-label", "play");
    }
    function go(to) {
      step = within(to, steps);
      slider.value = step + 1;
      now.textContent = `${word} ${step + 1} of ${steps}`;
      slider.setAttribute("aria-valuetext", now.textContent);
      updates.forEach((update) => update());
    }
    button.addEventListener("click", () => {
      if (timer !== null) return stop();
      if (step === steps - 1) go(0);
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      button.textContent = "❚❚";
      button.setAttribute("aria-label", "pause");
      timer = setInterval(() => {
        if (element.isConnected) go(step + 1);
        if (!element.isConnected || step === steps - 1) stop();
      }, calm ? 1500 : Math.min(800, Math.max(150, 6000 / steps)));
    });
    slider.addEventListener("input", () => (stop(), go(slider.value - 1)));
    const controls = make("div", { class: "sdi-controls", role: "group", "aria-label": "time" }, button, slider, now);
    controls.hidden = steps === 1;
    element.classList.add("sdi");
    element.replaceChildren(controls, make("div", { class: "sdi-models" }, ...panels), tip);
    stops.set(element, stop);
    stop();
    go((options.step ?? steps) - 1);
  }
  return show;
})();
for (const each of document.querySelectorAll("[data-inside]"))
  spikeduelInside(each, JSON.parse(document.getElementById(each.dataset.inside).textContent));
