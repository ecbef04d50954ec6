(() => {
  "use strict";
  const svg = document.currentScript?.ownerSVGElement || document.querySelector("svg");
  const SVG = "http://www.w3.org/2000/svg", HTML = "http://www.w3.org/1999/xhtml";
  const LEFT = 10, ROW = 17, TOOLS = 440;
  const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f300}-\u{1faff}]/u;
  const plot = svg.querySelector(".plot"), head = svg.querySelector(".head"), page = svg.querySelector(".page");
  const about = svg.querySelector(".about");
  const HINT = "click: zoom · /: search · arrows and Enter: walk · Esc: back";

  // What stands where, as the file says it: x and w of 1180, however wide the window is.
  const boxes = Array.from(plot.children, (g, index) => {
    const rect = g.querySelector("rect"), title = g.querySelector("title").textContent;
    return { g, rect, index, text: g.querySelector("text"), title, label: title.split("\n", 1)[0],
      x: +rect.getAttribute("x") - LEFT, w: +rect.getAttribute("width"),
      level: Math.round(+rect.getAttribute("y") / ROW), parent: null, children: [] };
  });
  if (!boxes.length) return;
  const all = boxes[0];
  const levels = [];
  for (const box of boxes) {
    (levels[box.level] ||= []).push(box);
    const above = levels[box.level - 1] || [];
    let low = 0, high = above.length - 1; // the last one above that begins no later
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (above[middle].x <= box.x + 1e-3) low = middle; else high = middle - 1;
    }
    box.parent = above[low] || null;
    if (box.parent) box.parent.children.push(box);
  }

  let zoomed = all, at = null, query = "", cell = 7.22, wide = 0;

  const measure = () => {
    const probe = document.createElementNS(SVG, "text");
    probe.textContent = "0".repeat(50);
    svg.append(probe);
    cell = probe.getComputedTextLength() / 50 || cell;
    probe.remove();
  };
  const cellsOf = (char) => (WIDE.test(char) ? 2 : 1);
  const cellsIn = (text) => Array.from(text).reduce((sum, char) => sum + cellsOf(char), 0);
  const fit = (text, cells) => {
    if (cellsIn(text) <= cells) return text;
    let left = cells - 1, kept = "";
    for (const char of text) {
      left -= cellsOf(char);
      if (left < 0) break;
      kept += char;
    }
    return kept && kept + "…";
  };

  // The head's words follow each other, as many on a line as there is room for.
  const flow = (narrow) => {
    let x = LEFT, y = 0;
    for (const item of head.children) {
      const text = item.querySelector("text"), big = item.classList.contains("name");
      const row = item.classList.contains("row");
      item.full ??= text.textContent;
      if (row) {
        const room = wide - 2 * LEFT - (big && !narrow ? TOOLS : 0);
        text.textContent = fit(item.full, Math.floor(room / (big ? cell * 1.5 : cell)));
      }
      const width = text.getComputedTextLength() + (item.querySelector("rect") ? 16 : 0);
      if (row || (x > LEFT && x + width > wide - LEFT)) {
        x = LEFT;
        y += y ? 19 : 26;
      }
      item.setAttribute("transform", `translate(${x} ${y})`);
      x += width + 2 * cell;
    }
    return y + 6;
  };

  const place = (box, scale, room) => {
    const left = (box.x - zoomed.x) * scale, right = left + box.w * scale;
    const from = Math.max(left, 0), to = Math.min(right, room);
    if (to - from < 0.3) return box.g.setAttribute("display", "none");
    box.g.removeAttribute("display");
    box.rect.setAttribute("x", (from + LEFT).toFixed(2));
    box.rect.setAttribute("width", (to - from).toFixed(2));
    box.g.classList.toggle("out", box.level < zoomed.level);
    box.g.classList.toggle("thin", to - from < 3);
    const cells = Math.floor((to - from - 6) / cell);
    if (cells < 3 && !box.text) return undefined;
    if (!box.text) {
      box.text = document.createElementNS(SVG, "text");
      box.text.setAttribute("y", box.level * ROW + 12);
      box.g.append(box.text);
    }
    box.text.setAttribute("x", (from + LEFT + 3).toFixed(2));
    const label = cells < 3 ? "" : fit(box.label, cells);
    if (box.text.textContent !== label) box.text.textContent = label;
    return undefined;
  };

  const layout = () => {
    wide = Math.max(svg.getBoundingClientRect().width || innerWidth, 200);
    const narrow = wide < 900, room = wide - 2 * LEFT;
    const top = flow(narrow);
    tools.setAttribute("x", narrow ? LEFT : wide - TOOLS - LEFT);
    tools.setAttribute("y", narrow ? top : 8);
    tools.setAttribute("width", narrow ? room : TOOLS);
    const below = top + (narrow ? 34 : 0);
    about.setAttribute("transform", `translate(${LEFT} ${below + 16})`);
    plot.setAttribute("transform", `translate(0 ${below + 26})`);
    const height = below + 26 + levels.length * ROW + 10;
    svg.setAttribute("height", height);
    page.setAttribute("height", height);
    for (const box of boxes) place(box, room / zoomed.w, room);
    say(at);
  };

  const say = (box) => {
    about.textContent = fit(box ? box.title.replace(/\n/g, "  ·  ") : HINT, Math.floor((wide - 2 * LEFT) / cell));
  };

  const remember = () => {
    const parts = [];
    if (query) parts.push("q=" + encodeURIComponent(query));
    if (zoomed !== all) parts.push("z=" + zoomed.index);
    try {
      history.replaceState(null, "", parts.length ? "#" + parts.join("&") : location.pathname + location.search);
    } catch { /* a page that may not: nothing but the link is lost */ }
  };

  const zoom = (box) => {
    zoomed = box;
    back.disabled = zoomed === all;
    const room = wide - 2 * LEFT;
    for (const each of boxes) place(each, room / zoomed.w, room);
    count();
    remember();
  };

  const walk = (box) => {
    if (!box) return;
    at?.g.classList.remove("at");
    at = box;
    at.g.classList.add("at");
    at.g.scrollIntoView?.({ block: "nearest" });
    say(at);
  };

  // Of what is in sight: a frame inside one that was found already does not count twice.
  const count = () => {
    let found = 0;
    for (const box of boxes) {
      box.inside = box.parent?.inside || box.found;
      if (!box.found || box.parent?.inside) continue;
      found += Math.max(0, Math.min(box.x + box.w, zoomed.x + zoomed.w) - Math.max(box.x, zoomed.x));
    }
    share.textContent = query ? (100 * found / zoomed.w).toFixed(1) + " % matched" : "";
  };

  // Text is a regular expression where it is one; small letters find capitals as well.
  const search = (text) => {
    query = text;
    const flags = /[A-Z]/.test(text) ? "u" : "iu";
    let pattern = null;
    try {
      pattern = text && new RegExp(text, flags);
    } catch {
      pattern = new RegExp(text.replace(/[\\^$.*+?()[\]{}|\/]/g, "\\$&"), flags);
    }
    for (const box of boxes) {
      box.found = Boolean(pattern) && pattern.test(box.label);
      box.g.classList.toggle("found", box.found);
    }
    count();
    remember();
  };

  const tools = document.createElementNS(SVG, "foreignObject");
  tools.setAttribute("height", 30);
  const bar = document.createElementNS(HTML, "div"), field = document.createElementNS(HTML, "input");
  const share = document.createElementNS(HTML, "span"), back = document.createElementNS(HTML, "button");
  bar.setAttribute("class", "tools");
  share.setAttribute("class", "share");
  field.setAttribute("placeholder", "search (text or regex)");
  field.setAttribute("aria-label", "search");
  field.setAttribute("spellcheck", "false");
  back.textContent = "reset zoom";
  back.disabled = true;
  bar.append(share, field, back);
  tools.append(bar);
  svg.append(tools);
  svg.classList.add("live");

  const boxAt = (event) => {
    const g = event.target.closest?.(".plot > g");
    return g ? boxes.find((box) => box.g === g) : null;
  };
  field.addEventListener("input", () => search(field.value));
  back.addEventListener("click", () => zoom(all));
  plot.addEventListener("click", (event) => {
    const box = boxAt(event);
    if (!box || String(getSelection?.() || "")) return;
    walk(box);
    zoom(box);
  });
  plot.addEventListener("mouseover", (event) => say(boxAt(event)));
  plot.addEventListener("mouseout", () => say(at));
  addEventListener("resize", layout);
  addEventListener("keydown", (event) => {
    const typing = event.target === field;
    const beside = (step) => at?.parent?.children[at.parent.children.indexOf(at) + step];
    if ((event.key === "/" && !typing) || (event.key === "f" && (event.ctrlKey || event.metaKey))) {
      field.focus();
      field.select();
    } else if (event.key === "Escape") {
      if (query) search(field.value = "");
      else zoom(all);
      field.blur();
    } else if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    } else if (typing) {
      if (event.key !== "Enter") return;
      walk(boxes.find((box) => box.found && !box.g.hasAttribute("display")));
      field.blur();
    } else if (event.key === "Enter") {
      if (at) zoom(at);
    } else if (event.key === "Backspace") {
      if (zoomed.parent) zoom(zoomed.parent);
    } else if (event.key === "Home" || event.key === "0") {
      walk(all);
      zoom(all);
    } else if (event.key === "ArrowDown") {
      walk(at ? at.children[0] : zoomed);
    } else if (event.key === "ArrowUp") {
      walk(at ? at.parent : zoomed);
    } else if (event.key === "ArrowLeft") {
      walk(beside(-1));
    } else if (event.key === "ArrowRight") {
      walk(beside(1));
    } else {
      return;
    }
    event.preventDefault();
  });

  svg.removeAttribute("viewBox");
  svg.setAttribute("width", "100%");
  page.setAttribute("width", "100%");
  measure();
  layout();
  const wanted = new URLSearchParams(location.hash.slice(1));
  if (boxes[wanted.get("z")]) zoom(boxes[wanted.get("z")]);
  if (wanted.get("q")) search(field.value = wanted.get("q"));
})();
